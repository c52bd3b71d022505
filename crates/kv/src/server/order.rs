//! What an operator orders of the member: `QUORATE POLICY [strategy [peer]]` and
//! `QUORATE PROMOTE [ROUND number] [FORCE]`.

use bytes::Bytes;
use quorate_core::{Direction, NodeId};
use quorate_node::{OrderError, Promoted};

use super::answer::Answer;
use super::request::integer;

/// Bulk leaves this member so from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectOrder {
    pub(crate) direction: Direction,
    /// Towards whom; none: everybody.
    pub(crate) peer: Option<NodeId>,
}

/// This member is to lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PromoteOrder {
    pub(crate) round: Option<u64>,
    pub(crate) force: bool,
}

/// The order that these words give, behind `POLICY`.
pub(crate) fn parse_direct(words: &[Bytes], peers: &[NodeId]) -> Result<DirectOrder, Answer> {
    let usage = || Answer::err("usage: QUORATE POLICY [<push | pull | mixed | auto> [peer]]");
    let (direction, peer) = match words {
        [direction] => (direction, None),
        [direction, peer] => {
            let id = u64::try_from(integer(peer)?).map(NodeId);
            let id = id.map_err(|_| usage())?;
            if !peers.contains(&id) {
                return Err(Answer::err(format_args!("{id} is no peer of this member")));
            }
            (direction, Some(id))
        }
        _ => return Err(usage()),
    };
    let direction = direction.to_ascii_lowercase();
    let direction = std::str::from_utf8(&direction).map_err(|_| usage())?;
    let direction = direction.parse().map_err(|_| usage())?;
    Ok(DirectOrder { direction, peer })
}

/// The order that these words give, behind `PROMOTE`.
pub(crate) fn parse_promote(words: &[Bytes]) -> Result<PromoteOrder, Answer> {
    let usage = || Answer::err("usage: QUORATE PROMOTE [ROUND number] [FORCE]");
    let mut order = PromoteOrder::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match &word.to_ascii_lowercase()[..] {
            b"force" if !order.force => order.force = true,
            b"round" if order.round.is_none() => {
                let number = words.next().ok_or_else(usage)?;
                let number = u64::try_from(integer(number)?).map_err(|_| usage())?;
                order.round = Some(number);
            }
            _ => return Err(usage()),
        }
    }
    Ok(order)
}

/// What an operator is told of a promotion.
pub(crate) fn promoted(outcome: Result<Promoted, OrderError>) -> Answer {
    match outcome {
        Ok(Promoted { epoch, missing }) => {
            let missing = missing.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
            Answer::Map(vec![
                (Answer::text("epoch"), Answer::text(epoch.to_string())),
                (Answer::text("missing"), Answer::text(missing)),
            ])
        }
        Err(error) => Answer::err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Bytes> {
        let words = text.split_whitespace();
        words.map(|word| Bytes::from(word.to_owned())).collect()
    }

    #[test]
    fn a_strategy_is_ordered_for_all_peers_or_for_one() {
        let parse = |text| parse_direct(&words(text), &[NodeId(2), NodeId(3)]);
        let all = DirectOrder {
            direction: Direction::Pull,
            peer: None,
        };
        let one = DirectOrder {
            direction: Direction::Auto,
            peer: Some(NodeId(3)),
        };
        assert_eq!(parse("PULL"), Ok(all));
        assert_eq!(parse("auto 3"), Ok(one));
        for bad in ["", "shove", "pull 4", "pull x", "pull -1", "pull 2 3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_promotion_may_name_its_round_and_be_forced() {
        let parse = |text| parse_promote(&words(text));
        let (round, force) = (Some(7), true);
        assert_eq!(parse(""), Ok(PromoteOrder::default()));
        assert_eq!(parse("force ROUND 7"), Ok(PromoteOrder { round, force }));
        for bad in [
            "round",
            "round x",
            "round -1",
            "force force",
            "round 1 round 2",
            "now",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
