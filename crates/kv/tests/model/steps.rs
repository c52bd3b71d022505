//! Commands drawn at random, most of them about the same few keys.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::Timestamp;
use quorate_kv::Command;
use quorate_kv::store::{Expiry, Only, OnlyExpiry, Raw, Since};

/// A command that owns its bytes, so that proptest can hold it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Command(Bytes),
    Pass(u64),
}

pub(crate) fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![&b""[..], b"a", b"b", b"ab", b"user:1", b"user:2"])
            .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..3),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (-3i64..4).prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..300),
    ]
}

pub(crate) fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Never),
        Just(Expiry::Keep),
        (0u64..40).prop_map(Expiry::After),
        (980u64..1100).prop_map(|millis| Expiry::At(Timestamp(millis))),
    ]
}

pub(crate) fn only() -> impl Strategy<Value = Only> {
    prop::sample::select(vec![
        Only::Always,
        Only::Always,
        Only::Absent,
        Only::Present,
    ])
}

pub(crate) fn only_expiry() -> impl Strategy<Value = OnlyExpiry> {
    use OnlyExpiry::{Always, Earlier, Later, None, Some};
    prop::sample::select(vec![Always, None, Some, Later, Earlier])
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let set = (key(), value(), only(), expiry(), any::<bool>()).prop_map(
        |(key, value, only, expiry, get)| {
            Command::Set {
                key: Raw(&key),
                value: Raw(&value),
                only,
                expiry,
                get,
            }
            .encode()
        },
    );
    let set_many = prop::collection::vec((key(), value()), 1..4).prop_map(|pairs| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| (Raw(key), Raw(value)))
            .collect();
        Command::SetMany { pairs }.encode()
    });
    let delete = prop::collection::vec(key(), 1..4).prop_map(|keys| {
        Command::Delete {
            keys: keys.iter().map(|key| Raw(key)).collect(),
        }
        .encode()
    });
    let add = (key(), prop_oneof![-5i64..6, any::<i64>()])
        .prop_map(|(key, delta)| Command::add(&key, delta).encode());
    let append = (key(), value()).prop_map(|(key, value)| {
        Command::Append {
            key: Raw(&key),
            value: Raw(&value),
            bytes_max: 400,
        }
        .encode()
    });
    let since = prop_oneof![
        (-10i64..40).prop_map(|millis| (millis, Since::Now)),
        (-10i64..1100).prop_map(|millis| (millis, Since::Epoch))
    ];
    let expire = (key(), since, only_expiry()).prop_map(|(key, (millis, since), only)| {
        Command::Expire {
            key: Raw(&key),
            millis,
            since,
            only,
        }
        .encode()
    });
    prop_oneof![
        6 => set.prop_map(Step::Command),
        1 => set_many.prop_map(Step::Command),
        2 => delete.prop_map(Step::Command),
        1 => key().prop_map(|key| Step::Command(Command::Take { key: Raw(&key) }.encode())),
        2 => add.prop_map(Step::Command),
        2 => append.prop_map(Step::Command),
        3 => expire.prop_map(Step::Command),
        1 => key().prop_map(|key| Step::Command(Command::Persist { key: Raw(&key) }.encode())),
        1 => Just(Step::Command(Command::Clear.encode())),
        3 => (0u64..20).prop_map(Step::Pass),
    ]
}
