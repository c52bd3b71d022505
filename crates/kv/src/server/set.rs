//! `SET` and its short forms.

use bytes::Bytes;
use quorate_core::Timestamp;

use super::answer::{Answer, Shape, invalid_expire};
use super::request::{Request, Sizes, Write, integer, syntax_error};
use crate::store::{Command, Expiry, Only, Raw};

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(crate) fn parse(a: &[Bytes], sizes: &Sizes) -> Result<Request, Answer> {
    let (key, value) = (sizes.key(&a[0])?, sizes.value(&a[1])?);
    let options = Options::parse(&a[2..])?;
    let command = Command::Set {
        key,
        value,
        only: options.only.unwrap_or_default(),
        expiry: options.expiry.unwrap_or_default(),
        get: options.get,
    };
    Ok(Request::Write(Write {
        command: command.encode(),
        place: None,
        shape: Shape::Plain("set"),
        answers_value: options.get,
    }))
}

/// `SETEX key seconds value`, `PSETEX key milliseconds value`
pub(crate) fn setex<'a>(
    name: &str,
    a: &'a [Bytes],
    unit_millis: u64,
    sizes: &Sizes,
) -> Result<Command<'a>, Answer> {
    Ok(Command::Set {
        key: sizes.key(&a[0])?,
        value: sizes.value(&a[2])?,
        only: Only::Always,
        expiry: Expiry::After(millis(name, &a[1], unit_millis)?),
        get: false,
    })
}

pub(crate) const fn plain<'a>(key: Raw<'a>, value: Raw<'a>, only: Only, get: bool) -> Command<'a> {
    Command::Set {
        key,
        value,
        only,
        expiry: Expiry::Never,
        get,
    }
}

#[derive(Default)]
struct Options {
    only: Option<Only>,
    expiry: Option<Expiry>,
    get: bool,
}

impl Options {
    fn parse(words: &[Bytes]) -> Result<Self, Answer> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let word = word.to_ascii_lowercase();
            let mut time = |unit_millis| match words.next() {
                Some(number) => millis("set", number, unit_millis),
                None => Err(syntax_error()),
            };
            match &word[..] {
                b"get" => options.get = true,
                b"nx" => once(&mut options.only, Only::Absent)?,
                b"xx" => once(&mut options.only, Only::Present)?,
                b"keepttl" => once(&mut options.expiry, Expiry::Keep)?,
                b"ex" => once(&mut options.expiry, Expiry::After(time(1000)?))?,
                b"px" => once(&mut options.expiry, Expiry::After(time(1)?))?,
                b"exat" => once(&mut options.expiry, Expiry::At(Timestamp(time(1000)?)))?,
                b"pxat" => once(&mut options.expiry, Expiry::At(Timestamp(time(1)?)))?,
                _ => return Err(syntax_error()),
            }
        }
        Ok(options)
    }
}

/// Of several options that exclude one another only one may stand.
fn once<T>(option: &mut Option<T>, value: T) -> Result<(), Answer> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(syntax_error()),
    }
}

/// A time above zero, in milliseconds.
fn millis(name: &str, number: &Bytes, unit_millis: u64) -> Result<u64, Answer> {
    let number = u64::try_from(integer(number)?).unwrap_or(0);
    let millis = number.checked_mul(unit_millis);
    let sound = millis.filter(|millis| (1..=i64::MAX as u64).contains(millis));
    sound.ok_or_else(|| invalid_expire(name))
}
