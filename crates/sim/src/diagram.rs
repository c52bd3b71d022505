//! A space-time diagram of a trace: members as lines from top to bottom, messages as arrows between them.

use std::fmt::Write;

use crate::Line;

const LANE: f64 = 220.0;
const MARGIN: f64 = 110.0;
const ROW: f64 = 14.0;

/// Draws the lines as SVG: one row a line, so that what happens within a microsecond is still apart.
pub fn space_time(lines: &[Line], members: usize) -> String {
    let width = MARGIN + LANE * members as f64;
    let height = ROW * (lines.len() as f64 + 4.0);
    let lane = |host: usize| MARGIN + LANE * host as f64;
    let row = |index: usize| ROW * (index as f64 + 3.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' \
         font-family='monospace' font-size='9'>\n<rect width='100%' height='100%' fill='white'/>\n"
    );
    for host in 0..members {
        let x = lane(host);
        put(
            &mut svg,
            format_args!("<line x1='{x}' y1='20' x2='{x}' y2='{height}' stroke='#bbb'/>"),
        );
        put(
            &mut svg,
            format_args!(
                "<text x='{x}' y='14' font-weight='bold'>n{}</text>",
                host + 1
            ),
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let y = row(index);
        put(
            &mut svg,
            format_args!("<text x='4' y='{}' fill='#888'>{}</text>", y + 3.0, line.at),
        );
        let x = line.host.map_or(MARGIN - 20.0, lane);
        if let Some((from, sent)) = line.from {
            let start = lines[..index].partition_point(|earlier| earlier.at < sent);
            let colour = ["#06c", "#c60", "#080", "#a0a", "#900", "#066", "#555"][from % 7];
            put(
                &mut svg,
                format_args!(
                    "<line x1='{}' y1='{}' x2='{x}' y2='{y}' stroke='{colour}' stroke-opacity='0.5'/>\
                 <circle cx='{x}' cy='{y}' r='2.5' fill='{colour}'/>",
                    lane(from),
                    row(start)
                ),
            );
        }
        let short: String = line.text.chars().take(38).collect();
        put(
            &mut svg,
            format_args!(
                "<text x='{}' y='{}'>{}<title>{}</title></text>",
                x + 5.0,
                y + 3.0,
                escaped(&short),
                escaped(&line.text)
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn put(svg: &mut String, what: std::fmt::Arguments<'_>) {
    svg.write_fmt(what).expect("a string takes all");
    svg.push('\n');
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;

    #[test]
    fn a_message_is_an_arrow_between_two_lanes() {
        let line = |at, host, from, text: &str| Line {
            at: Moment(at),
            host: Some(host),
            from,
            text: text.to_owned(),
        };
        let lines = [
            line(1, 0, None, "asked"),
            line(5, 1, Some((0, Moment(1))), "a<b & c"),
        ];
        let svg = space_time(&lines, 2);
        assert!(svg.contains("a&lt;b &amp; c"));
        assert!(svg.contains(&format!(
            "<line x1='{MARGIN}' y1='42' x2='{}' y2='56'",
            MARGIN + LANE
        )));
    }
}
