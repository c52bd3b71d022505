//! What the machine itself can do, without any of Quorate: the limits that the parts are held against.

mod disk;
mod tcp;

pub use self::disk::RawFile;
pub use self::tcp::RawTcp;
