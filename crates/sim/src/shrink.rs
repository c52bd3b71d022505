//! Fewer faults that still do it: delta debugging (Zeller and Hildebrandt 2002) over the fault list.

use crate::{Plan, Protocol, Report, Workload, run};

/// The indices of a smallest set of the plan's faults with which the same invariant still fails: leaving out any one
/// of them makes it pass, or fail otherwise. Every step runs the simulation once; `runs_max` bounds them.
pub fn shrink<P: Protocol, W: Workload>(
    protocol: &P,
    workload: &W,
    plan: &Plan,
    report: &Report,
    runs_max: u32,
) -> Vec<usize> {
    let wanted = report
        .violation
        .as_ref()
        .map(|violation| violation.invariant);
    let mut runs = 0;
    let mut fails = |kept: &[usize]| {
        runs += 1;
        let again = run(protocol, workload, &plan.keeping(kept), false);
        (runs <= runs_max).then(|| again.violation.map(|violation| violation.invariant) == wanted)
    };
    minimise((0..plan.faults.len()).collect(), &mut fails)
}

/// Leaves out ever smaller parts as long as `fails` stays true; none: it was asked too often.
fn minimise(mut kept: Vec<usize>, fails: &mut dyn FnMut(&[usize]) -> Option<bool>) -> Vec<usize> {
    let mut part = kept.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        let mut shorter = false;
        while start < kept.len() {
            let end = (start + part).min(kept.len());
            let rest: Vec<usize> = kept[..start].iter().chain(&kept[end..]).copied().collect();
            match fails(&rest) {
                Some(true) => (kept, shorter) = (rest, true),
                Some(false) => start = end,
                None => return kept,
            }
        }
        match (part, shorter) {
            (1, false) => return kept,
            (1, true) => {}
            _ => part = part.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_kept_and_nothing_else() {
        for needed in [vec![], vec![7], vec![0, 19], vec![3, 4, 11, 17]] {
            let all: Vec<usize> = (0..20).collect();
            let mut fails = |kept: &[usize]| Some(needed.iter().all(|one| kept.contains(one)));
            assert_eq!(minimise(all, &mut fails), needed);
        }
    }

    #[test]
    fn it_ends_when_it_may_not_ask_any_more() {
        let mut asked = 0;
        let mut fails = |kept: &[usize]| {
            asked += 1;
            (asked <= 3).then_some(!kept.is_empty())
        };
        assert_eq!(minimise((0..64).collect(), &mut fails).len(), 16);
    }
}
