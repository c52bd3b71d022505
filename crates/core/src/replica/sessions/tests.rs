use std::collections::BTreeMap;
use std::vec;

use super::*;
use crate::Rng;

fn at(position: u64, time: u64) -> At {
    At {
        position: Position(position),
        time: Timestamp(time),
    }
}

/// The same table, put together from what a snapshot holds of it.
fn rebuilt(sessions: &Sessions) -> Sessions {
    let mut rebuilt = Sessions::default();
    for session in sessions.all() {
        assert!(rebuilt.restore(Session::clone(&session)));
    }
    rebuilt
}

fn assert_whole(sessions: &Sessions) {
    let rebuilt = rebuilt(sessions);
    assert_eq!(sessions.digest, rebuilt.digest);
    assert_eq!(sessions.weight, rebuilt.weight);
    assert_eq!(sessions.ends, rebuilt.ends);
    assert_eq!(sessions.ages, rebuilt.ages);
}

/// Applies `sequence` if it is fresh; whether it was, and the reply, which is the position.
fn apply(
    sessions: &mut Sessions,
    at: At,
    call: (SessionId, u64, u64),
) -> Result<(bool, u64), SessionError> {
    let kept = |reply: &[u8]| u64::from_le_bytes(reply.try_into().expect("eight bytes"));
    match sessions.admit(at.time, call) {
        Admission::Fresh => {
            let reply = at.position.0.to_le_bytes();
            sessions.keep(call.0, call.1, at.position, Arc::from(reply));
            Ok((true, at.position.0))
        }
        Admission::Seen(first, reply) => {
            assert_eq!(first.0, kept(&reply));
            Ok((false, first.0))
        }
        Admission::Refused(error) => Err(error),
    }
}

#[test]
fn whatever_is_asked_in_whatever_order_each_number_is_applied_once_at_the_most() {
    let mut rng = Rng::new(3);
    for _ in 0..200 {
        let mut sessions = Sessions::default();
        let mut model: BTreeMap<(SessionId, u64), u64> = BTreeMap::new();
        let mut opened = vec![SessionId(1_000_000)];
        let mut time = 0;
        for position in 1..200 {
            time += rng.below(20);
            sessions.expire(Timestamp(time));
            let at = at(position, time);
            let id = opened[rng.below(opened.len() as u64) as usize];
            match rng.below(20) {
                0 | 1 => opened.push(sessions.open(at, 50 + rng.below(200)).expect("few")),
                2 => {
                    let known = sessions.open.contains_key(&id);
                    assert_eq!(sessions.close(id).is_ok(), known);
                }
                _ => {
                    let sequence = rng.below(12);
                    let call = (id, sequence, rng.below(14).saturating_sub(8));
                    let outcome = apply(&mut sessions, at, call);
                    let before = model.get(&(id, sequence));
                    match outcome {
                        Ok((true, reply)) => {
                            assert_eq!(before, None, "applied twice");
                            model.insert((id, sequence), reply);
                        }
                        Ok((false, reply)) => assert_eq!(before, Some(&reply)),
                        Err(error) => assert_ne!(error, SessionError::TooMany),
                    }
                }
            }
            assert_whole(&sessions);
        }
    }
}

#[test]
fn a_session_ends_when_log_time_has_gone_on_so_long_without_a_command_of_it() {
    let mut sessions = Sessions::default();
    let id = sessions.open(at(1, 1000), 100).expect("the first");
    assert_eq!(sessions.wakeup(), Some(Timestamp(1100)));
    sessions.expire(Timestamp(1099));
    assert_eq!(apply(&mut sessions, at(2, 1099), (id, 1, 0)), Ok((true, 2)));
    assert_eq!(sessions.wakeup(), Some(Timestamp(1199)), "put off");
    sessions.expire(Timestamp(1199));
    assert_eq!(
        apply(&mut sessions, at(3, 1199), (id, 1, 0)),
        Err(SessionError::Expired)
    );
    assert_eq!((sessions.digest, sessions.weight), (0, 0));
}

#[test]
fn what_was_received_or_is_too_much_is_forgotten_and_never_applied_again() {
    let mut sessions = Sessions::default();
    let id = sessions.open(at(1, 0), 100).expect("the first");
    for sequence in 1..=Sessions::REPLIES_MAX as u64 + 1 {
        let fresh = apply(&mut sessions, at(1 + sequence, 0), (id, sequence, 0));
        assert_eq!(fresh, Ok((true, 1 + sequence)));
    }
    let mut again =
        |sequence, received| apply(&mut sessions, at(9000, 0), (id, sequence, received));
    assert_eq!(again(1, 0), Err(SessionError::Forgotten), "one too many");
    assert_eq!(again(2, 0), Ok((false, 3)));
    assert_eq!(again(2, 2), Err(SessionError::Forgotten), "received");
    assert_eq!(
        again(0, 0),
        Err(SessionError::Forgotten),
        "numbers begin at 1"
    );
    assert_eq!(again(u64::MAX, u64::MAX), Err(SessionError::Forgotten));
    assert!(sessions.ages.is_empty());
    assert_whole(&sessions);
}

#[test]
fn replies_are_bounded_over_all_sessions_and_the_oldest_go() {
    let mut sessions = Sessions::default();
    let ids = [1, 2].map(|position| sessions.open(at(position, 0), 100).expect("few"));
    let large: Arc<[u8]> = vec![7; 20 << 20].into();
    for (position, id) in (3..).zip(ids.into_iter().cycle()).take(4) {
        assert_eq!(
            sessions.admit(Timestamp(0), (id, position, 0)),
            Admission::Fresh
        );
        sessions.keep(id, position, Position(position), Arc::clone(&large));
    }
    assert!(sessions.weight <= Sessions::WEIGHT_MAX);
    let forgotten = Some(Admission::Refused(SessionError::Forgotten));
    assert_eq!(sessions.known(ids[0], 3), forgotten);
    assert!(matches!(
        sessions.known(ids[1], 4),
        Some(Admission::Seen(..))
    ));
}

#[test]
fn there_are_so_many_sessions_and_no_more() {
    let mut sessions = Sessions::default();
    for position in 1..=Sessions::SESSIONS_MAX as u64 {
        sessions
            .open(at(position, position), 100)
            .expect("there is room");
    }
    let one_more = at(1 << 40, 0);
    assert_eq!(sessions.open(one_more, 100), Err(SessionError::TooMany));
    sessions.expire(Timestamp(101));
    assert_eq!(sessions.open(one_more, 100), Ok(SessionId(1 << 40)));
}
