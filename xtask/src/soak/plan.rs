//! What happens to the members of a soak, and when.

use std::time::Duration;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Leadership is handed over.
    Transfer,
    /// A member is killed and its disk erased; a new one takes its place.
    Wipe,
    /// Two members are added, then two others are removed.
    GrowAndShrink,
}

/// When each deed is due in every period, in parts of it.
const IN_PERIOD: [(f64, Deed); 5] = [
    (0.10, Deed::Transfer),
    (0.25, Deed::Wipe),
    (0.43, Deed::Transfer),
    (0.58, Deed::GrowAndShrink),
    (0.77, Deed::Transfer),
];

/// All deeds of a run of this length, each with when it is due.
pub(crate) fn plan(length: Duration, period: Duration) -> Vec<(Duration, Deed)> {
    let periods = length.as_nanos().div_ceil(period.as_nanos().max(1)) as u32;
    let deeds = (0..periods).flat_map(|number| {
        let due = move |part| period * number + period.mul_f64(part);
        IN_PERIOD.map(|(part, deed)| (due(part), deed))
    });
    deeds.filter(|(due, _)| *due < length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_ten_minutes_has_ten_of_each_and_thirty_transfers() {
        let plan = plan(Duration::from_mins(10), Duration::from_mins(1));
        let count = |wanted| plan.iter().filter(|(_, deed)| *deed == wanted).count();
        assert_eq!(count(Deed::Transfer), 30);
        assert_eq!(count(Deed::Wipe), 10);
        assert_eq!(count(Deed::GrowAndShrink), 10);
        assert!(plan.is_sorted_by_key(|(due, _)| *due));
    }
}
