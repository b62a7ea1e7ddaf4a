//! Places on Earth, as scores of a sorted set: GEOADD, GEOSEARCH and their family.

mod search;
#[cfg(test)]
mod tests;

use super::zset::add::{Rules, add_all};
use super::{Command, Context, Error, KeySpec};
use crate::base::number::parse_f64;
use crate::client::Args;
use crate::resp::Out;
use crate::types::Zset;
use crate::types::geohash::Point;

const READ: &str = "RO access";
const STORED: &str = "OW update variable_flags";
const KEY_READ: &[KeySpec] = &[KeySpec::at(1, READ)];
const FOUND: &str = "O(N+log(M)), N being the places in the cells around the shape and M all places";

pub const TABLE: &[Command] = &[
    Command::new("GEOADD", "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]", geoadd)
        .arity(-5).grow().keys(&[KeySpec::at(1, "RW update")]).since("3.2.0")
        .about("Adds places, or moves them.").complexity("O(log(N)) for each place, N being their number"),
    Command::new("GEODIST", "key member1 member2 [M | KM | FT | MI]", geodist).arity(-4).read().keys(KEY_READ).since("3.2.0")
        .about("Returns the distance of two places."),
    Command::new("GEOHASH", "key [member [member ...]]", geohash).arity(-2).read().keys(KEY_READ).since("3.2.0")
        .about("Returns places as geohashes of eleven letters.").complexity("O(N), N being the number of places asked for"),
    Command::new("GEOPOS", "key [member [member ...]]", geopos).arity(-2).read().keys(KEY_READ).since("3.2.0")
        .about("Returns longitudes and latitudes.").complexity("O(N), N being the number of places asked for"),
    Command::new("GEORADIUS", "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]", search::georadius)
        .arity(-6).grow().keys(&[KeySpec::at(1, READ), KeySpec::after("STORE", 6, STORED), KeySpec::after("STOREDIST", 6, STORED)]).since("3.2.0")
        .about("Finds the places around a point, and may store them.").complexity(FOUND),
    Command::new("GEORADIUSBYMEMBER", "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]", search::georadiusbymember)
        .arity(-5).grow().keys(&[KeySpec::at(1, READ), KeySpec::after("STORE", 5, STORED), KeySpec::after("STOREDIST", 5, STORED)]).since("3.2.0")
        .about("Finds the places around another one, and may store them.").complexity(FOUND),
    Command::new("GEORADIUSBYMEMBER_RO", "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]", search::georadiusbymember_ro)
        .arity(-5).read().keys(KEY_READ).since("3.2.10").about("Finds the places around another one.").complexity(FOUND),
    Command::new("GEORADIUS_RO", "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]", search::georadius_ro)
        .arity(-6).read().keys(KEY_READ).since("3.2.10").about("Finds the places around a point.").complexity(FOUND),
    Command::new("GEOSEARCH", "key [FROMMEMBER member | FROMLONLAT longitude latitude] <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | BYPOLYGON num-vertices longitude latitude [longitude latitude ...]> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]", search::geosearch)
        .arity(-7).read().keys(KEY_READ).since("6.2.0").about("Finds the places in a circle, a box or a polygon.").complexity(FOUND),
    Command::new("GEOSEARCHSTORE", "destination source [FROMMEMBER member | FROMLONLAT longitude latitude] <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | BYPOLYGON num-vertices longitude latitude [longitude latitude ...]> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]", search::geosearchstore)
        .arity(-8).grow().keys(&[KeySpec::at(1, "OW update"), KeySpec::at(2, READ)]).since("6.2.0")
        .about("Stores the places in a circle, a box or a polygon.").complexity(FOUND),
];

fn number(text: &[u8]) -> Result<f64, Error> {
    parse_f64(text).ok_or(Error::NOT_A_FLOAT)
}

/// The place that two arguments name, from `at` on.
fn point(args: Args, at: usize) -> Result<Point, Error> {
    let (longitude, latitude) = (number(args.at(at))?, number(args.at(at + 1))?);
    Point::new(longitude, latitude).ok_or_else(|| {
        Error::new(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

/// Metres of a unit.
fn unit(name: &[u8]) -> Result<f64, Error> {
    match name.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(Error::new("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// A distance with four decimals.
fn write_distance(out: &mut Out, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even();
    out.bulk(format!("{:.4}", scaled / 10_000.0).as_bytes());
}

/// Longitude and latitude with all their decimals, up to 17.
fn write_point(out: &mut Out, point: Point) {
    out.array(2);
    for degrees in [point.longitude, point.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        if out.resp3 {
            out.raw(b",");
            out.raw(text.as_bytes());
            out.raw(b"\r\n");
        } else {
            out.bulk(text.as_bytes());
        }
    }
}

fn geoadd(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut rules = Rules::default();
    let mut first = 2;
    while first < args.len() {
        match () {
            () if args.is(first, "nx") => rules.nx = true,
            () if args.is(first, "xx") => rules.xx = true,
            () if args.is(first, "ch") => rules.ch = true,
            () => break,
        }
        first += 1;
    }
    let places = args.from(first);
    if places.is_empty() || !places.len().is_multiple_of(3) || (rules.nx && rules.xx) {
        return Err(Error::SYNTAX);
    }
    let scores = (0..places.len()).step_by(3).map(|at| Ok(point(places, at)?.to_score()));
    let scores: Vec<f64> = scores.collect::<Result<_, Error>>()?;
    add_all(cx, args.at(1), rules, &scores, |at| places.at(3 * at + 2))
}

fn geodist(cx: &mut Context, args: Args) -> Result<(), Error> {
    let metres = match args.len() {
        4 => 1.0,
        5 => unit(args.at(4))?,
        _ => return Err(Error::SYNTAX),
    };
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    let place = |member| view.and_then(|view| view.score(member)).map(Point::from_score);
    match (place(args.at(2)), place(args.at(3))) {
        (Some(from), Some(to)) => write_distance(out, from.distance(to) / metres),
        _ => out.null(),
    }
    Ok(())
}

fn geohash(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    out.array(args.len() - 2);
    for member in args.from(2).iter() {
        match view.and_then(|view| view.score(member)) {
            Some(score) => out.bulk(&Point::from_score(score).to_text()),
            None => out.null(),
        }
    }
    Ok(())
}

fn geopos(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    out.array(args.len() - 2);
    for member in args.from(2).iter() {
        match view.and_then(|view| view.score(member)) {
            Some(score) => write_point(out, Point::from_score(score)),
            None => out.null_array(),
        }
    }
    Ok(())
}
