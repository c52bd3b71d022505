//! `QUORATE FAULT <peer | *> <in | out | both> <cut | hold | drop share | delay milliseconds | clear>` and
//! `QUORATE FAULT disk <delay milliseconds | clear>`.

use std::time::Duration;

use bytes::Bytes;
use quorate_core::NodeId;

use super::answer::Answer;
use super::member::{FaultKind, FaultOrder, LinkFaultOrder};
use super::request::integer;

/// The longest delay, in milliseconds.
const DELAY_MILLIS_MAX: i64 = 60_000;

/// The order that these words give, behind `FAULT`.
pub(crate) fn parse(words: &[Bytes], peers: &[NodeId]) -> Result<FaultOrder, Answer> {
    match words {
        [disk, kind @ ..] if disk.eq_ignore_ascii_case(b"disk") => match parse_kind(kind)? {
            FaultKind::Delay(delay) => Ok(FaultOrder::Disk(delay)),
            FaultKind::Clear => Ok(FaultOrder::Disk(Duration::ZERO)),
            FaultKind::Cut | FaultKind::Hold | FaultKind::Drop(_) => Err(usage()),
        },
        [peer, direction, kind @ ..] => {
            parse_links(peer, direction, kind, peers).map(FaultOrder::Links)
        }
        _ => Err(usage()),
    }
}

fn parse_links(
    peer: &Bytes,
    direction: &Bytes,
    kind: &[Bytes],
    peers: &[NodeId],
) -> Result<LinkFaultOrder, Answer> {
    let peers = if &peer[..] == b"*" {
        peers.to_vec()
    } else {
        let id = u64::try_from(integer(peer)?)
            .map(NodeId)
            .map_err(|_| usage())?;
        if !peers.contains(&id) {
            return Err(Answer::err(format_args!("{id} is no peer of this member")));
        }
        vec![id]
    };
    let (inwards, outwards) = match &direction.to_ascii_lowercase()[..] {
        b"in" => (true, false),
        b"out" => (false, true),
        b"both" => (true, true),
        _ => return Err(usage()),
    };
    Ok(LinkFaultOrder {
        peers,
        inwards,
        outwards,
        kind: parse_kind(kind)?,
    })
}

fn parse_kind(words: &[Bytes]) -> Result<FaultKind, Answer> {
    let lower: Vec<_> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let lower: Vec<_> = lower.iter().map(|word| &word[..]).collect();
    match lower[..] {
        [b"cut"] => Ok(FaultKind::Cut),
        [b"hold"] => Ok(FaultKind::Hold),
        [b"clear"] => Ok(FaultKind::Clear),
        [b"drop", share] => {
            let share = std::str::from_utf8(share)
                .ok()
                .and_then(|text| text.parse().ok());
            let sound = share.filter(|share| (0.0..=1.0).contains(share));
            sound
                .map(FaultKind::Drop)
                .ok_or_else(|| Answer::err("drop takes a share from 0 to 1"))
        }
        [b"delay", _] => match integer(&words[1])? {
            millis @ 0..=DELAY_MILLIS_MAX => Ok(FaultKind::Delay(Duration::from_millis(
                millis.unsigned_abs(),
            ))),
            _ => Err(Answer::err(format_args!(
                "delay takes 0 to {DELAY_MILLIS_MAX} milliseconds"
            ))),
        },
        _ => Err(usage()),
    }
}

fn usage() -> Answer {
    Answer::err(
        "usage: QUORATE FAULT <peer | *> <in | out | both> \
         <cut | hold | drop share | delay milliseconds | clear>, \
         or QUORATE FAULT disk <delay milliseconds | clear>",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(words: &str) -> Result<FaultOrder, Answer> {
        let words: Vec<_> = words
            .split(' ')
            .map(|word| Bytes::from(word.to_owned()))
            .collect();
        parse(&words, &[NodeId(2), NodeId(3)])
    }

    #[test]
    fn orders_are_understood_or_refused_with_the_reason() {
        let peers = vec![NodeId(2), NodeId(3)];
        let (inwards, outwards) = (true, true);
        let kind = FaultKind::Drop(0.25);
        let expected = LinkFaultOrder {
            peers,
            inwards,
            outwards,
            kind,
        };
        assert_eq!(order("* BOTH drop 0.25"), Ok(FaultOrder::Links(expected)));
        let peers = vec![NodeId(3)];
        let (inwards, outwards) = (false, true);
        let kind = FaultKind::Delay(Duration::from_millis(20));
        let expected = LinkFaultOrder {
            peers,
            inwards,
            outwards,
            kind,
        };
        assert_eq!(order("3 out DELAY 20"), Ok(FaultOrder::Links(expected)));
        let delay = Duration::from_millis(20);
        assert_eq!(order("DISK delay 20"), Ok(FaultOrder::Disk(delay)));
        assert_eq!(order("disk clear"), Ok(FaultOrder::Disk(Duration::ZERO)));
        for bad in [
            "",
            "2 in",
            "4 in cut",
            "x in cut",
            "2 up cut",
            "2 in drop 1.5",
            "2 in drop NaN",
            "2 in delay -1",
            "2 in delay 60001",
            "2 in cut now",
            "2 in drop",
            "disk",
            "disk cut",
            "disk delay",
            "disk delay -1",
            "disk both delay 20",
        ] {
            assert!(order(bad).is_err(), "{bad}");
        }
    }
}
