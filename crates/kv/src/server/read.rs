//! Questions to the state, and what they cost.

use std::collections::VecDeque;

use bytes::Bytes;

use super::answer::Answer;
use super::request::Read;
use crate::store::{KvStore, Lifetime, View};

/// What a question came to while the state was at hand.
#[derive(Debug)]
pub(crate) enum Found {
    Answer(Answer),
    /// Takes as long as there are keys: to be looked up in this view, on another thread.
    Keys(View, Bytes),
}

/// The answers to the first of these questions, all of one moment: to as many as weigh `weight_max` together, and to
/// one at least. A single one may weigh up to `answer_bytes_max`.
pub(crate) fn ask_all(
    store: &KvStore,
    reads: &[Read],
    weight_max: usize,
    answer_bytes_max: usize,
) -> VecDeque<Found> {
    let mut found = VecDeque::with_capacity(reads.len());
    let mut weight = 0;
    for read in reads {
        if weight >= weight_max {
            break;
        }
        let one = ask(store, read, answer_bytes_max);
        if let Found::Answer(answer) = &one {
            weight += answer.weight();
        }
        found.push_back(one);
    }
    found
}

fn ask(store: &KvStore, read: &Read, answer_bytes_max: usize) -> Found {
    Found::Answer(match read {
        Read::Get(key) => value(store.get(key)),
        Read::Mget(keys) => mget(store, keys, answer_bytes_max),
        Read::Exists(keys) => {
            Answer::count(keys.iter().filter(|key| store.exists(key)).count() as u64)
        }
        Read::Strlen(key) => Answer::count(store.strlen(key)),
        Read::Ttl { key, in_millis } => Answer::Integer(ttl(store.lifetime(key), *in_millis)),
        Read::Dbsize => Answer::count(store.dbsize()),
        Read::Scan {
            cursor,
            pattern,
            count,
        } => {
            let page = store.scan(*cursor, pattern.as_deref(), *count);
            let keys = page.keys.into_iter().map(Answer::Bulk).collect();
            Answer::Array(vec![
                Answer::text(page.cursor.to_string()),
                Answer::Array(keys),
            ])
        }
        Read::Keys(pattern) => return Found::Keys(store.view(), pattern.clone()),
    })
}

fn value(value: Option<Bytes>) -> Answer {
    value.map_or(Answer::Nil, Answer::Bulk)
}

/// A key may be named many times: the sum is checked before anything is copied.
fn mget(store: &KvStore, keys: &[Bytes], answer_bytes_max: usize) -> Answer {
    let values = store.mget(keys.iter().map(|key| &key[..]));
    let answer = Answer::Array(values.into_iter().map(value).collect());
    if answer.weight() > answer_bytes_max {
        return Answer::err(format_args!(
            "the values take more than {answer_bytes_max} bytes"
        ));
    }
    answer
}

/// Redis's numbers: -2 absent, -1 for ever; seconds are rounded to the nearest.
fn ttl(lifetime: Lifetime, in_millis: bool) -> i64 {
    match lifetime {
        Lifetime::Absent => -2,
        Lifetime::Forever => -1,
        Lifetime::Millis(millis) => {
            let left = if in_millis {
                millis
            } else {
                millis.saturating_add(500) / 1000
            };
            i64::try_from(left).unwrap_or(i64::MAX)
        }
    }
}

/// The answer to `KEYS`, looked up where it stalls nobody.
pub(crate) async fn keys(view: View, pattern: Bytes, answer_bytes_max: usize) -> Answer {
    let looked = tokio::task::spawn_blocking(move || view.keys(&pattern, answer_bytes_max));
    match looked.await {
        Ok(Ok(keys)) => Answer::Array(keys.into_iter().map(Answer::Bulk).collect()),
        Ok(Err(error)) => Answer::err(error),
        Err(_) => Answer::Error("STOPPED this member is stopping".into()),
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::{At, Position, StateMachine, Timestamp};

    use super::*;
    use crate::Command;

    #[test]
    fn as_many_questions_are_answered_as_weigh_what_is_allowed_and_one_at_least() {
        let mut store = KvStore::new();
        let at = At {
            position: Position(1),
            time: Timestamp(1),
        };
        store.apply(at, &Command::set(b"k", &[0; 1000]).encode());
        let reads: Vec<_> = (0..10)
            .map(|_| Read::Get(Bytes::from_static(b"k")))
            .collect();
        let answered = |weight_max| ask_all(&store, &reads, weight_max, 1 << 20).len();
        assert_eq!([1, 1000, 3000, 1 << 20].map(answered), [1, 1, 3, 10]);
    }

    #[test]
    fn the_time_left_is_rounded_as_redis_rounds_it() {
        let left = |millis, in_millis| ttl(Lifetime::Millis(millis), in_millis);
        assert_eq!(
            [left(499, false), left(500, false), left(1499, false)],
            [0, 1, 1]
        );
        assert_eq!(left(1499, true), 1499);
    }
}
