//! COMMAND DOCS: the rows of the command table as documentation. Arguments are read from the syntax strings.

use super::command_info::{by_full_name, top_level, write_names};
use crate::client::Args;
use crate::commands::syntax::{self, Argument, Kind};
use crate::commands::{Context, Error};
use crate::resp::Out;

pub fn docs(cx: &mut Context, args: Args) -> Result<(), Error> {
    let numbers = match args.len() {
        2 => top_level(cx),
        _ => args.from(2).iter().filter_map(|name| by_full_name(cx, name)).collect(),
    };
    cx.out.map(numbers.len());
    numbers.into_iter().for_each(|number| describe(cx, number));
    Ok(())
}

/// A name and what there is to say about it.
fn describe(cx: &mut Context, number: u16) {
    let (row, group) = (cx.registry.row(number), cx.registry.group(number));
    let subcommands: Vec<u16> = match row.container {
        true => cx.registry.subcommands(number).map(|(number, _)| number).collect(),
        false => Vec::new(),
    };
    let arguments = syntax::parse(row.name, row.syntax, row.keys);
    cx.out.bulk(row.full_name().as_bytes());
    cx.out.map(4 + !arguments.is_empty() as usize + !subcommands.is_empty() as usize);
    let group = group.replace('_', "-");
    for (name, text) in
        [("summary", row.about), ("since", row.since), ("group", &group), ("complexity", row.complexity)]
    {
        cx.out.bulk(name.as_bytes());
        cx.out.bulk(text.as_bytes());
    }
    if !arguments.is_empty() {
        cx.out.bulk(b"arguments");
        write_arguments(&mut cx.out, &arguments);
    }
    if !subcommands.is_empty() {
        cx.out.bulk(b"subcommands");
        cx.out.map(subcommands.len());
        subcommands.into_iter().for_each(|number| describe(cx, number));
    }
}

fn write_arguments(out: &mut Out, arguments: &[Argument]) {
    out.array(arguments.len());
    arguments.iter().for_each(|argument| write_argument(out, argument));
}

fn write_argument(out: &mut Out, argument: &Argument) {
    let leaf = !matches!(argument.kind, Kind::OneOf | Kind::Block);
    let flags: Vec<&str> = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ]
    .iter()
    .filter_map(|(is, name)| is.then_some(*name))
    .collect();
    let place = out.deferred();
    let mut pairs = 0;
    let mut text = |out: &mut Out, name: &str, value: &str| {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
        pairs += 1;
    };
    text(out, "name", &argument.name);
    text(out, "type", argument.kind.name());
    if leaf {
        text(out, "display_text", &argument.name);
    }
    if let Some(token) = argument.token {
        text(out, "token", token.trim_matches('"'));
    }
    if let Some(spec) = argument.key_spec {
        out.bulk(b"key_spec_index");
        out.integer(spec as i64);
        pairs += 1;
    }
    if !flags.is_empty() {
        out.bulk(b"flags");
        write_names(out, &flags);
        pairs += 1;
    }
    if !leaf {
        out.bulk(b"arguments");
        write_arguments(out, &argument.arguments);
        pairs += 1;
    }
    out.finish_map(place, pairs);
}
