//! Searches for places around a point: GEOSEARCH, GEORADIUS and their variants.

use super::super::error::shown;
use super::super::zset::write_element;
use super::super::{Context, Error};
use super::{point, unit, write_distance, write_point};
use crate::base::number::{parse_f64, parse_i64};
use crate::client::Args;
use crate::config::Events;
use crate::types::Zset;
use crate::types::geohash::{Point, Shape, mean, ranges_around};
use crate::types::listpack::Element;
use crate::types::zset::{Gathered, Range, ScoreRange, ZsetView};

/// What the name of a command says about its arguments.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Search,
    SearchStore,
    Radius,
    RadiusReadOnly,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Nearest,
    Farthest,
}

/// Where and how to search, as far as it is known.
#[derive(Default)]
struct Query<'a> {
    centre: Option<Point>,
    /// The centre is a member; of an absent key, no more is known of it.
    from_member: bool,
    from_point: bool,
    shape: Option<Shape>,
    metres: f64,
    order: Option<Order>,
    /// 0: all.
    count: usize,
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_point: bool,
    store: Option<&'a [u8]>,
    store_distance: bool,
}

/// A place that was found.
struct Found {
    member: Box<[u8]>,
    score: f64,
    /// In metres.
    distance: f64,
}

impl<'a> Query<'a> {
    fn set_member(&mut self, view: Option<ZsetView>, member: &[u8]) -> Result<(), Error> {
        self.from_member = true;
        let Some(view) = view else { return Ok(()) };
        let missing = || Error::showing(&[b"ERR member ", shown(member, usize::MAX), b" does not exist"]);
        self.centre = Some(Point::from_score(view.score(member).ok_or_else(missing)?));
        Ok(())
    }

    /// `radius unit` from `at` on.
    fn set_circle(&mut self, args: Args, at: usize) -> Result<(), Error> {
        let radius = parse_f64(args.at(at)).ok_or(Error::new("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(Error::new("ERR radius cannot be negative"));
        }
        self.metres = unit(args.at(at + 1))?;
        self.shape = Some(Shape::Circle { radius: radius * self.metres });
        Ok(())
    }

    /// `width height unit` from `at` on.
    fn set_box(&mut self, args: Args, at: usize) -> Result<(), Error> {
        let width = parse_f64(args.at(at)).ok_or(Error::new("ERR need numeric width"))?;
        let height = parse_f64(args.at(at + 1)).ok_or(Error::new("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::new("ERR height or width cannot be negative"));
        }
        self.metres = unit(args.at(at + 2))?;
        self.shape = Some(Shape::Rectangle { width: width * self.metres, height: height * self.metres });
        Ok(())
    }

    /// `count longitude latitude ...` from `at` on, and how many arguments these are. A polygon says itself where its centre is.
    fn set_polygon(&mut self, args: Args, at: usize) -> Result<usize, Error> {
        let count = parse_i64(args.at(at)).filter(|count| i32::try_from(*count).is_ok());
        let count = count.ok_or(Error::new("ERR invalid number of vertices"))?;
        // As many as there are arguments for.
        let count =
            usize::try_from(count).ok().filter(|count| (3..=(args.len() - at - 1) / 2).contains(count));
        let count = count.ok_or(Error::new("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices"))?;
        let corners: Vec<Point> =
            (0..count).map(|corner| point(args, at + 1 + 2 * corner)).collect::<Result<_, Error>>()?;
        self.centre = Some(mean(&corners));
        self.metres = 1.0;
        self.shape = Some(Shape::Polygon { corners });
        Ok(1 + 2 * count)
    }

    /// Reads the options from argument `at` on.
    fn parse(
        &mut self,
        view: Option<ZsetView>,
        args: Args<'a>,
        at: usize,
        variant: Variant,
    ) -> Result<(), Error> {
        let mut at = at;
        while at < args.len() {
            let left = args.len() - at - 1;
            at += match () {
                () if args.is(at, "withdist") => flag(&mut self.with_distance),
                () if args.is(at, "withhash") => flag(&mut self.with_hash),
                () if args.is(at, "withcoord") => flag(&mut self.with_point),
                () if args.is(at, "any") => flag(&mut self.any),
                () if args.is(at, "asc") => {
                    self.order = Some(Order::Nearest);
                    1
                }
                () if args.is(at, "desc") => {
                    self.order = Some(Order::Farthest);
                    1
                }
                () if args.is(at, "count") && left >= 1 => {
                    let count = parse_i64(args.at(at + 1)).ok_or(Error::NOT_AN_INTEGER)?;
                    let count = usize::try_from(count).ok().filter(|&count| count > 0);
                    self.count = count.ok_or(Error::new("ERR COUNT must be > 0"))?;
                    2
                }
                () => match variant {
                    Variant::Radius => self.parse_store(args, at)?,
                    Variant::RadiusReadOnly => return Err(Error::SYNTAX),
                    Variant::SearchStore if args.is(at, "storedist") => flag(&mut self.store_distance),
                    Variant::Search | Variant::SearchStore => self.parse_shape(view, args, at)?,
                },
            };
        }
        Ok(())
    }

    /// STORE or STOREDIST, and how many arguments that took.
    fn parse_store(&mut self, args: Args<'a>, at: usize) -> Result<usize, Error> {
        self.store_distance = match () {
            () if args.is(at, "store") => false,
            () if args.is(at, "storedist") => true,
            () => return Err(Error::SYNTAX),
        };
        self.store = Some(args.get(at + 1).ok_or(Error::SYNTAX)?);
        Ok(2)
    }

    /// Where to search, and how many arguments that took.
    fn parse_shape(&mut self, view: Option<ZsetView>, args: Args, at: usize) -> Result<usize, Error> {
        let left = args.len() - at - 1;
        let is_placed = self.from_member || self.from_point;
        // The same kind of shape may be said again, no other.
        let (circle_fits, box_fits, polygon_fits) = match &self.shape {
            None => (true, true, !is_placed),
            Some(Shape::Circle { .. }) => (true, false, false),
            Some(Shape::Rectangle { .. }) => (false, true, false),
            Some(Shape::Polygon { .. }) => (false, false, true),
        };
        match () {
            () if args.is(at, "frommember") && left >= 1 && !self.from_point && !self.is_polygon() => {
                self.set_member(view, args.at(at + 1))?;
                Ok(2)
            }
            () if args.is(at, "fromlonlat") && left >= 2 && !self.from_member && !self.is_polygon() => {
                self.centre = Some(point(args, at + 1)?);
                self.from_point = true;
                Ok(3)
            }
            () if args.is(at, "byradius") && left >= 2 && circle_fits => {
                self.set_circle(args, at + 1)?;
                Ok(3)
            }
            () if args.is(at, "bybox") && left >= 3 && box_fits => {
                self.set_box(args, at + 1)?;
                Ok(4)
            }
            () if args.is(at, "bypolygon") && left >= 1 && polygon_fits => {
                Ok(1 + self.set_polygon(args, at + 1)?)
            }
            () => Err(Error::SYNTAX),
        }
    }

    fn is_polygon(&self) -> bool {
        matches!(self.shape, Some(Shape::Polygon { .. }))
    }

    fn check(&self, name: &[u8], variant: Variant) -> Result<(), Error> {
        let is_search = matches!(variant, Variant::Search | Variant::SearchStore);
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_point) {
            let what = if is_search { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Error::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let one_of = |what: &str| {
            let text = format!("ERR exactly one of {what} can be specified for ");
            Error::showing(&[text.as_bytes(), shown(name, usize::MAX)])
        };
        if is_search && !self.from_member && !self.from_point && !self.is_polygon() {
            return Err(one_of("FROMMEMBER or FROMLONLAT"));
        }
        if is_search && self.shape.is_none() {
            return Err(one_of("BYRADIUS and BYBOX"));
        }
        if self.any && self.count == 0 {
            return Err(Error::new("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The places, in the order asked for.
    fn run(&self, view: ZsetView) -> Vec<Found> {
        let mut found = Vec::new();
        let (Some(centre), Some(shape)) = (self.centre, &self.shape) else { return found };
        let enough = if self.any { self.count } else { usize::MAX };
        for (from, to) in ranges_around(centre, shape) {
            let ranks = view.ranks(&Range::Score(ScoreRange::half_open(from, to)));
            view.for_range(ranks, false, |member, score| {
                if found.len() < enough
                    && let Some(distance) = shape.distance_within(centre, Point::from_score(score))
                {
                    found.push(Found { member: member.to_vec().into(), score, distance });
                }
            });
            if found.len() >= enough {
                break;
            }
        }
        // Of those found, the nearest are counted, unless any will do.
        let order = self.order.or((self.count > 0 && !self.any).then_some(Order::Nearest));
        match order {
            Some(Order::Nearest) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Some(Order::Farthest) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
            None => {}
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }
}

/// An option without a value.
fn flag(option: &mut bool) -> usize {
    *option = true;
    1
}

/// Replies with the places, or stores them.
fn finish(cx: &mut Context, query: &Query, found: &[Found], event: &'static str) -> Result<(), Error> {
    let Some(dest) = query.store else {
        let extras = query.with_distance as usize + query.with_hash as usize + query.with_point as usize;
        let out = &mut cx.out;
        out.array(found.len());
        for place in found {
            if extras > 0 {
                out.array(1 + extras);
            }
            write_element(out, Element::Bytes(&place.member));
            if query.with_distance {
                write_distance(out, place.distance / query.metres);
            }
            if query.with_hash {
                out.integer(place.score as i64);
            }
            if query.with_point {
                write_point(out, Point::from_score(place.score));
            }
        }
        return Ok(());
    };
    let mut places = Gathered::default();
    for place in found {
        places.add(
            &place.member,
            if query.store_distance { place.distance / query.metres } else { place.score },
        );
    }
    let limits = cx.limits();
    cx.store(dest, Zset::gathered(places, &limits), Events::ZSET, event);
    cx.count_elements(dest, found.len());
    cx.out.integer(found.len() as i64);
    Ok(())
}

pub fn geosearch(cx: &mut Context, args: Args) -> Result<(), Error> {
    search(cx, args, Variant::Search)
}

pub fn geosearchstore(cx: &mut Context, args: Args) -> Result<(), Error> {
    search(cx, args, Variant::SearchStore)
}

fn search(cx: &mut Context, args: Args, variant: Variant) -> Result<(), Error> {
    let stores = variant == Variant::SearchStore;
    let source = if stores { 2 } else { 1 };
    let (view, _) = cx.view::<Zset>(args.at(source))?;
    let mut query = Query { store: stores.then(|| args.at(1)), ..Query::default() };
    query.parse(view, args, source + 1, variant)?;
    query.check(args.at(0), variant)?;
    let found = view.map_or(Vec::new(), |view| query.run(view));
    finish(cx, &query, &found, "geosearchstore")
}

pub fn georadius(cx: &mut Context, args: Args) -> Result<(), Error> {
    around_point(cx, args, Variant::Radius)
}

pub fn georadius_ro(cx: &mut Context, args: Args) -> Result<(), Error> {
    around_point(cx, args, Variant::RadiusReadOnly)
}

fn around_point(cx: &mut Context, args: Args, variant: Variant) -> Result<(), Error> {
    let (view, _) = cx.view::<Zset>(args.at(1))?;
    let mut query = Query { centre: Some(point(args, 2)?), ..Query::default() };
    query.set_circle(args, 4)?;
    query.parse(view, args, 6, variant)?;
    query.check(args.at(0), variant)?;
    let found = view.map_or(Vec::new(), |view| query.run(view));
    finish(cx, &query, &found, "georadiusstore")
}

pub fn georadiusbymember(cx: &mut Context, args: Args) -> Result<(), Error> {
    around_member(cx, args, Variant::Radius)
}

pub fn georadiusbymember_ro(cx: &mut Context, args: Args) -> Result<(), Error> {
    around_member(cx, args, Variant::RadiusReadOnly)
}

fn around_member(cx: &mut Context, args: Args, variant: Variant) -> Result<(), Error> {
    let (view, _) = cx.view::<Zset>(args.at(1))?;
    let mut query = Query::default();
    query.set_member(view, args.at(2))?;
    // Redis does not look at the radius of a search that finds nothing anyway.
    if view.is_some() {
        query.set_circle(args, 3)?;
    }
    query.parse(view, args, 5, variant)?;
    query.check(args.at(0), variant)?;
    let found = view.map_or(Vec::new(), |view| query.run(view));
    finish(cx, &query, &found, "georadiusstore")
}
