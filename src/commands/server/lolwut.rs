//! LOLWUT: a ring fort seen from above, its walls and gates by chance, and the version.

use crate::base::number::parse_i64;
use crate::base::rng::Rng;
use crate::client::Args;
use crate::commands::{Context, Error};

/// What INFO says this server is compatible with.
pub const REDIS_VERSION: &str = "8.0.0";
pub const RINGFORT_VERSION: &str = env!("CARGO_PKG_VERSION");

const COLUMNS_MAX: i64 = 300;
const WALLS_MAX: i64 = 40;

/// LOLWUT [VERSION n] [columns] [walls]. Every version draws the same.
pub fn lolwut(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut rest = args.from(1);
    if rest.len() >= 2 && rest.is(0, "VERSION") {
        parse_i64(rest.at(1)).ok_or(Error::NOT_AN_INTEGER)?;
        rest = rest.from(2);
    }
    let mut numbers = [66, 3];
    for (number, text) in numbers.iter_mut().zip(rest.iter()) {
        *number = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
    }
    let [columns, walls] = [numbers[0].clamp(1, COLUMNS_MAX), numbers[1].clamp(0, WALLS_MAX)];
    let mut text = fort(columns, walls, cx.rng);
    text.push_str(&format!("\nA ring fort has one gate in every wall. Redis ver. {REDIS_VERSION}"));
    text.push_str(&format!(" (Ringfort {RINGFORT_VERSION})\n"));
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Walls round each other in an ellipse of `columns`, twice as wide as high, each with a gate somewhere.
fn fort(columns: i64, walls: i64, rng: &mut Rng) -> String {
    let gates: Vec<f64> =
        (0..walls).map(|_| rng.below(1 << 20) as f64 / (1 << 20) as f64 * std::f64::consts::TAU).collect();
    let radius = columns as f64 / 2.0;
    let mut text = String::new();
    for row in 0..(columns as usize).div_ceil(2) {
        let line: String = (0..columns as usize)
            .map(|column| {
                let (x, y) = (column as f64 + 0.5 - radius, (row as f64 * 2.0 + 1.0) - radius);
                cell(x.hypot(y) / radius, y.atan2(x), &gates)
            })
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What stands at a place: `distance` from the centre (1 is the edge) and `angle`.
fn cell(distance: f64, angle: f64, gates: &[f64]) -> char {
    let depth = distance * (gates.len() as f64 + 0.5);
    let wall = depth.round();
    if (depth - wall).abs() > 0.18 || wall < 1.0 || wall > gates.len() as f64 {
        return ' ';
    }
    let turn = (angle - gates[wall as usize - 1]).rem_euclid(std::f64::consts::TAU);
    let from_gate = turn.min(std::f64::consts::TAU - turn);
    match from_gate {
        ..0.25 => ' ',
        0.25..0.4 => '+',
        _ => '#',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fort_is_as_wide_as_asked_and_never_the_same() {
        let draw = |seed| fort(66, 3, &mut Rng::seeded(seed));
        assert_eq!(draw(1).lines().count(), 33);
        assert!(draw(1).lines().all(|line| line.len() <= 66));
        assert_ne!(draw(1), draw(2));
        (0..=3).for_each(|columns| drop(fort(columns, 0, &mut Rng::seeded(1))));
        println!("{}", draw(1));
    }
}
