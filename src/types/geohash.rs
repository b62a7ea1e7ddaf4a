//! Places on Earth as scores of a sorted set: geohashes of 52 bits, as Redis has them.
//! In: longitudes and latitudes in degrees. Out: scores, distances in metres, the areas to be searched around a place.
//! Absent: sorted sets, replies.
//!
//! A geohash halves the ranges of longitude and latitude in turn, a bit for each choice, so that places in one cell are
//! neighbours in the order of scores, too. A cell of `step` bits a coordinate is one range of scores. A search covers its shape by
//! a cell about as large as the shape and the eight around it, and looks at each place in these.

/// The Earth's radius in metres.
const RADIUS: f64 = 6_372_797.560856;
/// Half of the equator in the Mercator projection, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;

pub const LONGITUDE_MAX: f64 = 180.0;
/// Where the Mercator projection of the world is a square.
pub const LATITUDE_MAX: f64 = 85.05112878;

/// Bits for each coordinate.
const STEP_MAX: u32 = 26;

const EVEN: u64 = 0x5555_5555_5555_5555;
const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

/// Puts a zero before each bit.
fn spread(word: u32) -> u64 {
    let mut bits = u64::from(word);
    for (shift, mask) in [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, EVEN),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every second bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & EVEN;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0F0F_0F0F_0F0F_0F0F),
        (4, 0x00FF_00FF_00FF_00FF),
        (8, 0x0000_FFFF_0000_FFFF),
        (16, 0x0000_0000_FFFF_FFFF),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

/// Latitude in the even bits, longitude in the odd ones.
fn encode(point: Point, latitude_max: f64, step: u32) -> u64 {
    let cells = (1u64 << step) as f64;
    let part = |value: f64, max: f64| ((value + max) / (2.0 * max) * cells) as u32;
    spread(part(point.latitude, latitude_max)) | spread(part(point.longitude, LONGITUDE_MAX)) << 1
}

/// What a cast from double to unsigned gives in C on x86-64, also where C leaves it open: members that were added with ZADD
/// may have any score, and show as the same corner of the map as in Redis.
fn bits_of_score(score: f64) -> u64 {
    const TOP: u64 = 1 << 63;
    let signed = |value: f64| if value.abs() < TOP as f64 { value as i64 as u64 } else { TOP };
    if score < TOP as f64 { signed(score) } else { signed(score - TOP as f64) ^ TOP }
}

impl Point {
    /// None: it is beyond what a score can say.
    pub fn new(longitude: f64, latitude: f64) -> Option<Point> {
        let within = |value: f64, max: f64| (-max..=max).contains(&value);
        (within(longitude, LONGITUDE_MAX) && within(latitude, LATITUDE_MAX))
            .then_some(Point { longitude, latitude })
    }

    pub fn to_score(self) -> f64 {
        encode(self, LATITUDE_MAX, STEP_MAX) as f64
    }

    /// The middle of the score's cell.
    pub fn from_score(score: f64) -> Point {
        let area = Cell { bits: bits_of_score(score), step: STEP_MAX }.area();
        let middle = |(min, max): (f64, f64), limit: f64| ((min + max) / 2.0).clamp(-limit, limit);
        Point {
            longitude: middle(area.longitude, LONGITUDE_MAX),
            latitude: middle(area.latitude, LATITUDE_MAX),
        }
    }

    /// The geohash of eleven letters that other services know, which takes latitudes up to 90 degrees.
    pub fn to_text(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = encode(self, 90.0, STEP_MAX);
        // 52 bits are two too few for the last letter.
        std::array::from_fn(|at| if at == 10 { b'0' } else { LETTERS[(bits >> (47 - 5 * at) & 31) as usize] })
    }

    /// Metres along the great circle, by the haversine formula.
    pub fn distance(self, other: Point) -> f64 {
        let v = ((other.longitude.to_radians() - self.longitude.to_radians()) / 2.0).sin();
        if v == 0.0 {
            return self.distance_north(other);
        }
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * RADIUS * a.sqrt().asin()
    }

    fn distance_north(self, other: Point) -> f64 {
        RADIUS * (other.latitude.to_radians() - self.latitude.to_radians()).abs()
    }
}

/// What is searched around a place: lengths in metres.
#[derive(Clone, Debug)]
pub enum Shape {
    Circle {
        radius: f64,
    },
    Rectangle {
        width: f64,
        height: f64,
    },
    /// Its corners in order. Where its sides cross, what they enclose twice is outside.
    Polygon {
        corners: Vec<Point>,
    },
}

impl Shape {
    /// How far a place is from the centre, if it is within.
    pub fn distance_within(&self, centre: Point, point: Point) -> Option<f64> {
        match self {
            Shape::Circle { radius } => Some(centre.distance(point)).filter(|distance| distance <= radius),
            Shape::Rectangle { width, height } => {
                let east = Point { longitude: centre.longitude, latitude: point.latitude };
                let within =
                    point.distance_north(centre) <= height / 2.0 && point.distance(east) <= width / 2.0;
                within.then(|| centre.distance(point))
            }
            Shape::Polygon { corners } => encloses(corners, point).then(|| centre.distance(point)),
        }
    }

    /// Metres from the centre to the outermost point.
    fn reach(&self, centre: Point) -> f64 {
        match self {
            Shape::Circle { radius } => *radius,
            Shape::Rectangle { width, height } => ((width / 2.0).powi(2) + (height / 2.0).powi(2)).sqrt(),
            Shape::Polygon { corners } => {
                corners.iter().map(|corner| centre.distance(*corner)).fold(0.0, f64::max)
            }
        }
    }

    /// What it covers, in degrees.
    fn bounds(&self, centre: Point) -> Area {
        let (width, height) = match self {
            Shape::Circle { radius } => (*radius, *radius),
            Shape::Rectangle { width, height } => (width / 2.0, height / 2.0),
            Shape::Polygon { corners } => return Area::around(corners),
        };
        let north = (height / RADIUS).to_degrees();
        // The side that is nearer to a pole reaches over more degrees.
        let widest = if centre.latitude < 0.0 { centre.latitude - north } else { centre.latitude + north };
        let east = (width / RADIUS / widest.to_radians().cos()).to_degrees();
        Area {
            longitude: (centre.longitude - east, centre.longitude + east),
            latitude: (centre.latitude - north, centre.latitude + north),
        }
    }
}

/// Whether a line from the point eastwards crosses an odd number of the polygon's sides.
fn encloses(corners: &[Point], point: Point) -> bool {
    let before = corners.iter().cycle().skip(corners.len().saturating_sub(1));
    let crossed = corners.iter().zip(before).filter(|(a, b)| {
        (a.latitude > point.latitude) != (b.latitude > point.latitude)
            && point.longitude
                < (b.longitude - a.longitude) * (point.latitude - a.latitude) / (b.latitude - a.latitude)
                    + a.longitude
    });
    crossed.count() % 2 == 1
}

/// The mean of points, as directions from the middle of the Earth: what distances from a polygon are counted from.
pub fn mean(points: &[Point]) -> Point {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for point in points {
        let (longitude, latitude) = (point.longitude.to_radians(), point.latitude.to_radians());
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    let count = points.len() as f64;
    let (x, y, z) = (x / count, y / count, z / count);
    Point { longitude: y.atan2(x).to_degrees(), latitude: z.atan2((x * x + y * y).sqrt()).to_degrees() }
}

/// Ranges of degrees.
#[derive(Clone, Copy, Debug)]
struct Area {
    longitude: (f64, f64),
    latitude: (f64, f64),
}

impl Area {
    /// The smallest that holds all the points.
    fn around(points: &[Point]) -> Area {
        let nothing = (f64::INFINITY, f64::NEG_INFINITY);
        let with = |(least, most): (f64, f64), value: f64| (least.min(value), most.max(value));
        points.iter().fold(Area { longitude: nothing, latitude: nothing }, |area, point| Area {
            longitude: with(area.longitude, point.longitude),
            latitude: with(area.latitude, point.latitude),
        })
    }
}

/// All places whose geohashes begin with the same bits, `step` for each coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    bits: u64,
    step: u32,
}

impl Cell {
    fn of(point: Point, step: u32) -> Cell {
        Cell { bits: encode(point, LATITUDE_MAX, step), step }
    }

    fn area(self) -> Area {
        let cells = (1u64 << self.step) as f64;
        let range = |cell: u32, max: f64| {
            let at = |cell: f64| -max + cell / cells * (2.0 * max);
            (at(f64::from(cell)), at(f64::from(cell) + 1.0))
        };
        Area {
            longitude: range(gather(self.bits >> 1), LONGITUDE_MAX),
            latitude: range(gather(self.bits), LATITUDE_MAX),
        }
    }

    /// The cell so many to the east and to the north, around the world.
    fn moved(self, east: i32, north: i32) -> Cell {
        let mask = u64::MAX >> (64 - 2 * self.step);
        let step = |bits: u64, other: u64, by: i32| match by {
            // Not cut: places at 180 degrees have one bit more, and are found by it.
            0 => bits,
            // The other coordinate's bits, set, carry over; clear, they do not.
            1 => bits.wrapping_add((other & mask) + 1) & !other & mask,
            _ => (bits | other & mask).wrapping_sub((other & mask) + 1) & !other & mask,
        };
        let longitude = step(self.bits & ODD, EVEN, east);
        let latitude = step(self.bits & EVEN, ODD, north);
        Cell { bits: longitude | latitude, step: self.step }
    }

    /// The scores of its places: from the first up to the second, which is excluded.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEP_MAX - self.step);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// Bits a coordinate of cells that are about as large as the shape.
fn estimate_step(metres: f64, latitude: f64) -> u32 {
    if metres == 0.0 {
        return STEP_MAX;
    }
    let (mut metres, mut step) = (metres, 1);
    while metres < MERCATOR_MAX {
        metres *= 2.0;
        step += 1;
    }
    // Towards the poles, degrees of longitude are shorter.
    step -= 2 + i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    step.clamp(1, STEP_MAX as i32) as u32
}

/// The ranges of scores that hold all places within the shape, and others; the centre's own first.
pub fn ranges_around(centre: Point, shape: &Shape) -> Vec<(f64, f64)> {
    let bounds = shape.bounds(centre);
    let mut step = estimate_step(shape.reach(centre), centre.latitude);
    let mut cell = Cell::of(centre, step);
    let too_small = cell.moved(0, 1).area().latitude.1 < bounds.latitude.1
        || cell.moved(0, -1).area().latitude.0 > bounds.latitude.0
        || cell.moved(1, 0).area().longitude.1 < bounds.longitude.1
        || cell.moved(-1, 0).area().longitude.0 > bounds.longitude.0;
    if too_small && step > 1 {
        step -= 1;
        cell = Cell::of(centre, step);
    }
    let area = cell.area();
    let useless = |east: i32, north: i32| {
        step >= 2
            && ((north < 0 && area.latitude.0 < bounds.latitude.0)
                || (north > 0 && area.latitude.1 > bounds.latitude.1)
                || (east < 0 && area.longitude.0 < bounds.longitude.0)
                || (east > 0 && area.longitude.1 > bounds.longitude.1))
    };
    let around = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
    let mut ranges: Vec<(f64, f64)> = Vec::with_capacity(9);
    let mut cells = Vec::with_capacity(9);
    for (east, north) in around {
        let cell = cell.moved(east, north);
        // Around the world of few cells, neighbours meet again.
        if !useless(east, north) && !cells.contains(&cell.bits) {
            cells.push(cell.bits);
            ranges.push(cell.scores());
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Point> {
        (-180.0..180.0, -85.0..85.0).prop_map(|(longitude, latitude)| Point { longitude, latitude })
    }

    proptest! {
        #[test]
        fn bits_are_spread_and_gathered(word: u32) {
            prop_assert_eq!(gather(spread(word)), word);
        }

        #[test]
        fn a_score_is_near_its_place(point in point()) {
            prop_assert!(point.distance(Point::from_score(point.to_score())) < 1.0);
        }

        /// Up to where a shape covers a large part of the world: there, as in Redis, nine cells may not be enough.
        #[test]
        fn what_is_within_is_in_a_range(
            centre in (-120.0..120.0, -60.0..60.0),
            to in (-1.0..1.0, -1.0..1.0),
            reach in 1.0..2e6f64,
            is_circle: bool,
        ) {
            let centre = Point { longitude: centre.0, latitude: centre.1 };
            let degrees = (reach / RADIUS).to_degrees();
            let point = Point {
                longitude: centre.longitude + to.0 * degrees,
                latitude: centre.latitude + to.1 * degrees,
            };
            let shape = match is_circle {
                true => Shape::Circle { radius: reach },
                false => Shape::Rectangle { width: reach, height: reach * 2.0 },
            };
            let score = point.to_score();
            let found = ranges_around(centre, &shape).iter().any(|&(from, to)| (from..to).contains(&score));
            prop_assert!(found || shape.distance_within(centre, point).is_none());
        }
    }

    proptest! {
        /// The corners of a triangle pulled a little towards its middle lie within, and are found.
        #[test]
        fn what_a_triangle_encloses_is_in_a_range(
            corners in prop::collection::vec((-60.0..60.0, -60.0..60.0), 3),
            pull in 0.01..1.0f64,
        ) {
            let corners: Vec<Point> =
                corners.into_iter().map(|(longitude, latitude)| Point { longitude, latitude }).collect();
            let middle = |of: fn(&Point) -> f64| corners.iter().map(of).sum::<f64>() / 3.0;
            let (longitude, latitude) = (middle(|it| it.longitude), middle(|it| it.latitude));
            let shape = Shape::Polygon { corners: corners.clone() };
            let ranges = ranges_around(mean(&corners), &shape);
            for corner in corners {
                let point = Point {
                    longitude: corner.longitude + (longitude - corner.longitude) * pull,
                    latitude: corner.latitude + (latitude - corner.latitude) * pull,
                };
                prop_assert!(shape.distance_within(mean(&[point]), point).is_some());
                let score = point.to_score();
                prop_assert!(ranges.iter().any(|&(from, to)| (from..to).contains(&score)));
            }
        }
    }

    #[test]
    fn places_of_a_real_server() {
        // GEOADD, ZSCORE, GEOHASH and GEODIST of Valkey 9.1.
        let palermo = Point::new(13.5, 38.0).unwrap();
        assert_eq!(palermo.to_score(), 3_479_097_324_432_493.0);
        assert_eq!(&Point::from_score(palermo.to_score()).to_text(), b"sqc85jwqhc0");
        let catania = Point::from_score(3_479_447_370_796_909.0);
        let metres = Point::from_score(palermo.to_score()).distance(catania);
        assert!((metres - 150148.5551).abs() < 0.0001, "{metres}");
        assert_eq!(Point::new(180.0, 85.05112878).unwrap().to_score(), 13_510_798_882_111_488.0);
        assert_eq!(Point::new(180.1, 0.0), None);
        assert_eq!(Point::new(0.0, f64::NAN), None);
    }
}
