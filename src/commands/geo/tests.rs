//! Conversations about places. What a real Valkey 9.1 replied.

use crate::sim::conversation::{check, check3};

const SICILY: &str = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania => 2 | GEOADD g XX CH 13.5 38 Palermo => 1";

#[test]
fn places_are_added_as_scores() {
    check(&format!(
        "{SICILY} | ZRANGE g 0 -1 WITHSCORES => [\"Palermo\" \"3479097324432493\" \"Catania\" \"3479447370796909\"] | GEOADD g NX 1 2 Palermo => 0 | GEOADD g XX 1 2 other => 0 | GEOADD g NX CH nx 1 2 a => 1"
    ));
    check(
        "GEOADD g NX XX 1 2 a => -ERR syntax error | GEOADD g 181 1 a => -ERR invalid longitude,latitude pair 181.000000,1.000000 | GEOADD g inf 1 a => -ERR invalid longitude,latitude pair inf,1.000000 | GEOADD g x 1 a => -ERR value is not a valid float | GEOADD g 1 2 a 3 => -ERR syntax error | GEOADD g NX 1 2 => -ERR syntax error | GEOADD g 1 2 a 200 3 b => -ERR invalid longitude,latitude pair 200.000000,3.000000 | EXISTS g => 0",
    );
}

#[test]
fn places_are_told() {
    check(&format!(
        "{SICILY} | GEOADD g 180 85.05112878 c -180 -85.05112878 d => 2 | GEOPOS g Palermo none c d => [[\"13.50000053644180298\" \"38.0000009925631943\"] nil [\"180\" \"85.0511287799999991\"] [\"-179.99999731779098511\" \"-85.05112751263942528\"]] | GEOHASH g Palermo none c d => [\"sqc85jwqhc0\" nil \"bp05b5048p0\" \"00bh0hbj200\"] | GEOPOS g => [] | GEOHASH none a b => [nil nil]"
    ));
    check3(&format!(
        "{SICILY} | GEOPOS g Palermo none => [[,13.50000053644180298 ,38.0000009925631943] nil] | GEODIST g Palermo none => nil | GEODIST g Palermo Catania => \"150148.5551\""
    ));
}

#[test]
fn distances() {
    check(&format!(
        "{SICILY} | GEODIST g Palermo Catania => \"150148.5551\" | GEODIST g Palermo Catania km => \"150.1486\" | GEODIST g Palermo Catania mi => \"93.2982\" | GEODIST g Palermo Catania FT => \"492613.3699\" | GEODIST g Palermo Palermo => \"0.0000\" | GEODIST g Palermo none => nil | GEODIST none a b => nil"
    ));
    check(
        "SET s x => OK | GEODIST s a b foo => -ERR unsupported unit provided. please use M, KM, FT, MI | GEODIST s a b => -WRONGTYPE Operation against a key holding the wrong kind of value | GEODIST g a b m m => -ERR syntax error",
    );
}

#[test]
fn places_in_a_circle_or_a_box() {
    check(&format!(
        "{SICILY} | GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHCOORD WITHDIST WITHHASH => [[\"Catania\" \"56.4413\" 3479447370796909 [\"15.08726745843887329\" \"37.50266842333162032\"]] [\"Palermo\" \"172.8860\" 3479097324432493 [\"13.50000053644180298\" \"38.0000009925631943\"]]] | GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km DESC WITHDIST => [[\"Palermo\" \"172.8860\"] [\"Catania\" \"56.4413\"]] | GEOSEARCH g FROMLONLAT 15 37 BYBOX 200 200 km => [\"Catania\"]"
    ));
    check(&format!(
        "{SICILY} | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 200 km COUNT 1 => [\"Palermo\"] | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 200 km DESC COUNT 1 => [\"Catania\"] | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 200 km COUNT 1 ANY => [\"Palermo\"] | GEOSEARCH none FROMMEMBER x BYRADIUS 1 km => [] | GEOSEARCH g FROMMEMBER x BYRADIUS 1 km => -ERR member x does not exist"
    ));
    check3(&format!(
        "{SICILY} | GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 100 km WITHCOORD WITHDIST => [[\"Catania\" \"56.4413\" [,15.08726745843887329 ,37.50266842333162032]]]"
    ));
}

#[test]
fn what_a_search_refuses() {
    check(&format!(
        "{SICILY} | GEOSEARCH g FROMMEMBER Palermo BYRADIUS -1 km => -ERR radius cannot be negative | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 foo => -ERR unsupported unit provided. please use M, KM, FT, MI | GEOSEARCH g FROMMEMBER Palermo BYRADIUS x km => -ERR need numeric radius | GEOSEARCH g FROMMEMBER Palermo BYBOX -1 1 km => -ERR height or width cannot be negative | GEOSEARCH g FROMMEMBER Palermo BYBOX x 1 km => -ERR need numeric width | GEOSEARCH g FROMMEMBER Palermo BYBOX 1 x km => -ERR need numeric height"
    ));
    check(&format!(
        "{SICILY} | GEOSEARCH g BYRADIUS 1 km ASC COUNT 1 => -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH | GEOSEARCH g FROMMEMBER Palermo ASC COUNT 1 WITHDIST => -ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH | GEOSEARCH g FROMMEMBER Palermo FROMLONLAT 1 2 BYRADIUS 1 km => -ERR syntax error | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km BYBOX 1 1 km => -ERR syntax error"
    ));
    check(&format!(
        "{SICILY} | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km ANY => -ERR the ANY argument requires COUNT argument | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km COUNT 0 => -ERR COUNT must be > 0 | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km COUNT x => -ERR value is not an integer or out of range | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km STORE d => -ERR syntax error | GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km STOREDIST => -ERR syntax error | GEOSEARCH g FROMLONLAT 200 1 BYRADIUS 1 km => -ERR invalid longitude,latitude pair 200.000000,1.000000"
    ));
    check(
        "SET s x => OK | GEOSEARCH s FROMMEMBER a BYRADIUS x km => -WRONGTYPE Operation against a key holding the wrong kind of value | GEOADD s 1 2 a => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn what_is_found_is_stored() {
    check(&format!(
        "{SICILY} | GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km ASC => 2 | ZRANGE d 0 -1 WITHSCORES => [\"Palermo\" \"3479097324432493\" \"Catania\" \"3479447370796909\"] | GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST COUNT 1 => 1 | ZRANGE d 0 -1 WITHSCORES => [\"Catania\" \"56.4412578701582\"] | GEOSEARCHSTORE d none FROMLONLAT 15 37 BYRADIUS 200 km => 0 | EXISTS d => 0 | GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST => -ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
    ));
    check(&format!(
        "{SICILY} | GEORADIUS g 15 37 200 km STORE d => 2 | ZCARD d => 2 | GEORADIUS g 15 37 200 km STORE d STOREDIST e => 2 | ZRANGE e 0 -1 WITHSCORES => [\"Catania\" \"56.4412578701582\" \"Palermo\" \"172.885995816033\"] | GEORADIUSBYMEMBER g Palermo 1 km STORE e => 1 | ZRANGE e 0 -1 => [\"Palermo\"] | GEORADIUS g 15 37 200 km STORE d WITHDIST => -ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options | GEORADIUS g 15 37 200 km STORE => -ERR syntax error"
    ));
}

#[test]
fn the_older_searches() {
    check(&format!(
        "{SICILY} | GEORADIUS g 15 37 200 km WITHDIST COUNT 5 ASC => [[\"Catania\" \"56.4413\"] [\"Palermo\" \"172.8860\"]] | GEORADIUS_RO g 15 37 200 km DESC => [\"Palermo\" \"Catania\"] | GEORADIUS_RO g 15 37 200 km STORE d => -ERR syntax error | GEORADIUSBYMEMBER g Palermo 200 km ASC => [\"Palermo\" \"Catania\"] | GEORADIUSBYMEMBER_RO g Palermo 200 km DESC => [\"Catania\" \"Palermo\"] | GEORADIUSBYMEMBER g none 200 km => -ERR member none does not exist | GEORADIUSBYMEMBER none none 200 km => []"
    ));
    check(
        "GEORADIUS g 15 37 x km => -ERR need numeric radius | GEORADIUS g x 37 1 km => -ERR value is not a valid float | GEORADIUS g 15 37 1 km FROMMEMBER a => -ERR syntax error | GEORADIUS g 15 37 1 km STORE d => 0 | GEORADIUS g 15 37 1 km => []",
    );
}

#[test]
fn places_where_the_world_ends() {
    check(
        "GEOADD g 180 1 edge => 1 | GEORADIUS g 180 0.5 300 km => [\"edge\"] | GEORADIUSBYMEMBER none m x foo ASC => []",
    );
}

const TRIANGLE: &str = "BYPOLYGON 3 12 37 16 37 13.5 39";

#[test]
fn places_in_a_polygon() {
    check(&format!(
        "{SICILY} | GEOADD g 14 37.8 mid 20 38 far => 2 | GEOSEARCH g {TRIANGLE} ASC WITHDIST => [[\"mid\" \"19768.9492\"] [\"Palermo\" \"46405.0532\"] [\"Catania\" \"111970.0720\"]] | GEOSEARCH g {TRIANGLE} COUNT 1 => [\"mid\"] | GEOSEARCH g BYPOLYGON 4 12 36 16 39 16 36 12 39 => [\"Catania\"] | GEOSEARCH none {TRIANGLE} => [] | GEOSEARCH g {TRIANGLE} BYPOLYGON 3 19 37 21 37 20 39 => [\"far\"]"
    ));
    check(&format!(
        "{SICILY} | GEOSEARCHSTORE d g {TRIANGLE} STOREDIST => 2 | ZRANGE d 0 -1 => [\"Palermo\" \"Catania\"] | GEOSEARCHSTORE d g {TRIANGLE} => 2 | ZSCORE d Catania => \"3479447370796909\""
    ));
}

#[test]
fn what_is_no_polygon() {
    let corners = "-ERR GEOSEARCH BYPOLYGON must have at least 3 vertices";
    let number = "-ERR invalid number of vertices";
    check(&format!(
        "GEOSEARCH g BYPOLYGON 2 12 37 16 37 => {corners} | GEOSEARCH g BYPOLYGON 3 12 37 16 37 13 => {corners} | GEOSEARCH g BYPOLYGON -1 12 37 16 37 => {corners} | GEOSEARCH g BYPOLYGON 2147483647 12 37 16 37 => {corners} | GEOSEARCH g BYPOLYGON x 12 37 16 37 => {number} | GEOSEARCH g BYPOLYGON 2147483648 12 37 16 37 => {number} | GEOSEARCH g BYPOLYGON 3 12 37 16 37 13 x => -ERR value is not a valid float | GEOSEARCH g BYPOLYGON 3 12 37 16 37 190 3 => -ERR invalid longitude,latitude pair 190.000000,3.000000"
    ));
    let syntax = "-ERR syntax error";
    check(&format!(
        "GEOSEARCH g {TRIANGLE} FROMMEMBER a => {syntax} | GEOSEARCH g FROMLONLAT 1 2 {TRIANGLE} => {syntax} | GEOSEARCH g {TRIANGLE} BYRADIUS 1 km => {syntax} | GEOSEARCH g BYBOX 1 1 km {TRIANGLE} => {syntax} | GEOSEARCH g {TRIANGLE} m => {syntax} | GEOSEARCH g ASC ASC ASC ASC BYPOLYGON => {syntax}"
    ));
}
