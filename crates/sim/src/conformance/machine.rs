//! What a state machine owes: the same from the same, and snapshots that are the state.

use bytes::Bytes;
use quorate_core::{At, Position, SnapshotSource, StateMachine, Timestamp};

/// Checks determinism, digests and snapshots with these commands, each applied a millisecond of log time after the one
/// before; a snapshot is taken after every few of them.
///
/// # Panics
/// With what does not hold.
pub fn state_machine<S: StateMachine>(make: impl Fn() -> S, commands: &[Bytes]) {
    let (mut one, mut other) = (make(), make());
    assert_eq!(
        one.digest(),
        other.digest(),
        "two empty machines have equal digests"
    );
    let step = (commands.len() / 16).max(1);
    for (index, command) in commands.iter().enumerate() {
        let replies = (
            apply(&mut one, index, command),
            apply(&mut other, index, command),
        );
        assert_eq!(
            replies.0, replies.1,
            "equal machines give equal replies to command {index}"
        );
        assert_eq!(
            one.digest(),
            other.digest(),
            "and have equal digests after it"
        );
        if index % step == 0 {
            snapshot(&one, &commands[index + 1..], index + 1);
        }
    }
}

/// A snapshot is the state when it was taken, whatever is applied meanwhile, however it is cut, and goes on alike.
fn snapshot<S: StateMachine>(machine: &S, rest: &[Bytes], next: usize) {
    for bytes_max in [1, 64, 1 << 20] {
        let chunks = chunks(machine.snapshot(), bytes_max);
        assert!(
            chunks.iter().all(|chunk| !chunk.is_empty()),
            "no chunk is empty"
        );
        let mut restored: S = read(&chunks);
        assert_eq!(
            restored.digest(),
            machine.digest(),
            "a restored state has the digest of the original"
        );
        let mut late = restored.snapshot();
        let mut twin: S = read(&chunks);
        assert_eq!(
            restored.wakeup(),
            machine.wakeup(),
            "and wakes up when it would"
        );
        for (index, command) in rest.iter().enumerate().take(32) {
            let replies = (
                apply(&mut restored, next + index, command),
                apply(&mut twin, next + index, command),
            );
            assert_eq!(replies.0, replies.1, "restored machines go on alike");
        }
        assert_eq!(restored.digest(), twin.digest(), "and stay equal");
        let mut detached = std::iter::from_fn(|| late.next_chunk(bytes_max));
        let before = S::restore(&mut detached).expect("a snapshot can be restored");
        assert_eq!(
            before.digest(),
            machine.digest(),
            "a snapshot does not see what is applied after it was taken"
        );
    }
}

fn apply<S: StateMachine>(machine: &mut S, index: usize, command: &Bytes) -> String {
    let time = Timestamp(1_700_000_000_000 + index as u64);
    machine.advance(time);
    let position = Position(index as u64 + 1);
    format!("{:?}", machine.apply(At { position, time }, command))
}

fn chunks(mut source: impl SnapshotSource, bytes_max: usize) -> Vec<Bytes> {
    std::iter::from_fn(|| source.next_chunk(bytes_max)).collect()
}

fn read<S: StateMachine>(chunks: &[Bytes]) -> S {
    S::restore(&mut chunks.iter().cloned()).expect("a snapshot can be restored")
}
