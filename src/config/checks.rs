//! What the text of an option must look like. Each check answers with Redis' complaint.

use super::types::Cores;

type Check = Result<(), &'static str>;

fn require(ok: bool, complaint: &'static str) -> Check {
    if ok { Ok(()) } else { Err(complaint) }
}

pub fn any(_: &[u8]) -> Check {
    Ok(())
}

pub fn cores(text: &[u8]) -> Check {
    require(
        Cores::parse(text).is_some(),
        "cores must be a count (4) or a list of CPUs without repeats (0-3,6); empty means all",
    )
}

fn is_file_name(text: &[u8]) -> bool {
    !text.contains(&b'/')
}

pub fn dbfilename(text: &[u8]) -> Check {
    require(is_file_name(text), "dbfilename can't be a path, just a filename")
}

pub fn appendfilename(text: &[u8]) -> Check {
    require(!text.is_empty(), "appendfilename can't be empty")?;
    require(is_file_name(text), "appendfilename can't be a path, just a filename")
}

pub fn appenddirname(text: &[u8]) -> Check {
    require(!text.is_empty(), "appenddirname can't be empty")?;
    require(is_file_name(text), "appenddirname can't be a path, just a dirname")
}

fn is_hostname_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

pub fn hostname(text: &[u8]) -> Check {
    const LENGTH_MAX: usize = 256;
    require(text.len() < LENGTH_MAX, "Hostnames must be less than 256 characters")?;
    require(
        text.iter().copied().all(is_hostname_byte),
        "Hostnames may only contain alphanumeric characters, hyphens or dots",
    )
}

/// Names and addresses that nodes tell each other.
fn is_announceable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-./:_`".contains(&byte)
}

pub fn node_name(text: &[u8]) -> Check {
    require(
        text.iter().copied().all(is_announceable),
        "Announced human node name contained invalid character",
    )
}

pub fn announce_ip(text: &[u8]) -> Check {
    const LENGTH_MAX: usize = 46;
    require(text.len() < LENGTH_MAX, "cluster-announce-ip is too long")?;
    require(text.iter().copied().all(is_announceable), "cluster-announce-ip contains invalid character")
}

fn is_empty_or<T: std::str::FromStr>(text: &[u8]) -> bool {
    text.is_empty() || std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok())
}

pub fn ipv4(text: &[u8]) -> Check {
    require(is_empty_or::<std::net::Ipv4Addr>(text), "Invalid IPv4 address")
}

pub fn ipv6(text: &[u8]) -> Check {
    require(is_empty_or::<std::net::Ipv6Addr>(text), "Invalid IPv6 address")
}

pub fn shutdown(words: &[&str]) -> Check {
    let contradictory = words.contains(&"save") && words.contains(&"nosave");
    require(!contradictory, "shutdown options SAVE and NOSAVE can't be used simultaneously")
}

/// A template must name known variables only, and show something when all of them are empty.
pub fn title_template(text: &[u8]) -> Check {
    let shown = std::str::from_utf8(text).ok().and_then(|text| expand(text, |_| Some(String::new())));
    require(
        shown.is_some_and(|shown| !shown.is_empty()),
        "template format is invalid or contains unknown variables",
    )
}

const TITLE_VARIABLES: &[&str] =
    &["title", "listen-addr", "server-mode", "port", "tls-port", "config-file", "unixsocket"];

/// The template with each `{variable}` replaced; `{{` stands for a brace. `None` if a variable is unknown or a
/// brace stays open.
pub fn expand(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            out.push('{');
            rest = after;
            continue;
        }
        let (name, after) = after.split_once('}')?;
        if !TITLE_VARIABLES.contains(&name) {
            return None;
        }
        out.push_str(&value(name)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_templates_are_checked_as_redis_checks_them() {
        let cases = [
            ("{title} {listen-addr} {server-mode}", true),
            ("x", true),
            ("{title} {port}{tls-port}{config-file}{unixsocket} {{x", true),
            ("x {title} {{ }}", true),
            ("}} {title}x", true),
            ("{title}", false),
            ("{title", false),
            ("{x} y", false),
            ("", false),
        ];
        for (template, good) in cases {
            assert_eq!(title_template(template.as_bytes()).is_ok(), good, "{template}");
        }
    }
}
