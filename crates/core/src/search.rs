//! Looking for something in a sequence whose newest part is asked for most.

/// The first of the indices `0..len` for which `behind` is false, or `len`; `behind` is true for all before it and false
/// for all after it, as for [`slice::partition_point`].
///
/// Looks from the end, in steps that double: what lies `d` from the end is found with about `2 log d` questions.
pub fn partition_from_end(len: usize, behind: impl Fn(usize) -> bool) -> usize {
    let (mut high, mut step) = (len, 1);
    let mut low = loop {
        let Some(index) = high.checked_sub(step) else {
            break 0;
        };
        if behind(index) {
            break index + 1;
        }
        high = index;
        step *= 2;
    };
    while low < high {
        let middle = low + (high - low) / 2;
        if behind(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_search_from_the_start_would() {
        for len in 0..70 {
            for at in 0..=len {
                assert_eq!(partition_from_end(len, |index| index < at), at);
            }
        }
    }
}
