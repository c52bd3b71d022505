//! Redis's glob patterns over bytes.

/// Whether `text` as a whole matches `pattern`: `*` any bytes, `?` any one, `[a-z]` and `[^a]` one of a set,
/// `\x` the byte `x` itself.
///
/// Takes at most `pattern.len() * text.len()` steps: only the last `*` ever needs another try.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not match: behind the star, one byte further.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let step = match text.get(t) {
            None if p == pattern.len() => return true,
            None => return false,
            Some(byte) => match_one(&pattern[p..], *byte),
        };
        match (step, retry) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((behind, start))) => {
                p = behind;
                t = start + 1;
                retry = Some((behind, t));
            }
            (None, None) => return false,
        }
    }
}

/// How many bytes of the pattern match this one byte of text; none if they do not.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    let (wanted, length) = match pattern {
        [] => return None,
        [b'?', ..] => return Some(1),
        [b'[', set @ ..] => {
            let (member, length) = match_set(set, byte);
            return member.then_some(length + 1);
        }
        [b'\\', escaped, ..] => (*escaped, 2),
        [literal, ..] => (*literal, 1),
    };
    (wanted == byte).then_some(length)
}

/// Whether the byte is in the set that begins here, behind its `[`; and how long the set is. A set that is never
/// closed ends with the pattern.
fn match_set(set: &[u8], byte: u8) -> (bool, usize) {
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut member = false;
    loop {
        match &set[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                member |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                member |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                member |= *literal == byte;
                at += 1;
            }
        }
    }
    (member != negated, at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_redis_matches_them() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hbllo", true),
            ("h[^e]llo", "hello", false),
            ("h[b-d]llo", "hcllo", true),
            ("h[d-b]llo", "hcllo", true),
            ("h[b-d]llo", "hello", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("[", "a", false),
            ("a\\", "a\\", true),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c", "xxaxxbxxcxx", false),
            ("a**", "a", true),
            ("*ab", "aab", true),
            ("k?*", "k", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                *expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_their_product() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(20_000).as_bytes()));
    }
}
