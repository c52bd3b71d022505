//! What the machine itself can do, without any of Quorate: the limits that the parts are held against.

mod disk;

pub use self::disk::RawFile;
