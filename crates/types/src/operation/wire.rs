//! Finds the field at fault in a body that isn't in canonical form (data-model §1).
//!
//! The verdict itself is reached by decoding, re-encoding and comparing; this walk over the wire format
//! only says where the difference is. A test compares the two over many broken bodies.

use super::fault::{EncodingProblem, OperationFault};
use super::schema::{BODY, Field, Kind, Message, Place};
use super::trail::Trail;

/// Messages inside messages that are read at most; generated code stops at the same number.
const MAX_NESTING: usize = 100;

/// The first fault in `body`; for a body without one that nevertheless differs from its re-encoding,
/// the body as a whole.
pub(super) fn locate(body: &[u8]) -> OperationFault {
    let verdict = walk(&BODY, body, &Trail::BODY, MAX_NESTING);
    verdict.err().unwrap_or_else(|| fault(&Trail::BODY, EncodingProblem::Differs))
}

fn fault(trail: &Trail<'_>, problem: EncodingProblem) -> OperationFault {
    OperationFault::Encoding { field: trail.path(), problem }
}

/// Where the walk stands in one message: what came before bounds what may come next.
struct Before {
    number: u32,
    choice: bool,
    count: usize,
}

fn walk(message: &Message, bytes: &[u8], trail: &Trail<'_>, levels: usize) -> Result<(), OperationFault> {
    let mut input = Input { bytes };
    let mut before = Before { number: 0, choice: false, count: 0 };
    while !input.bytes.is_empty() {
        let tag = input.varint().map_err(|problem| fault(trail, problem))?;
        let number = tag >> 3;
        let Some(field) = message.fields.iter().find(|field| u64::from(field.number) == number) else {
            return Err(fault(trail, EncodingProblem::UnknownField { number }));
        };
        let same = before.number == field.number;
        let index = if same { before.count } else { 0 };
        let here = match field.place {
            Place::List => trail.item(field.name, index),
            Place::Single | Place::Choice => trail.field(field.name),
        };
        admit_place(field, &before).map_err(|problem| fault(&here, problem))?;
        let found = (tag & 7) as u8;
        let expected = field.kind.wire_type();
        if found != expected {
            return Err(fault(&here, EncodingProblem::WireType { found, expected }));
        }
        before =
            Before { number: field.number, choice: before.choice || field.place == Place::Choice, count: index + 1 };
        content(field, &mut input, &here, levels)?;
    }
    Ok(())
}

fn admit_place(field: &Field, before: &Before) -> Result<(), EncodingProblem> {
    if field.number == before.number && field.place != Place::List {
        return Err(EncodingProblem::Repeated);
    }
    if field.place == Place::Choice && before.choice {
        return Err(EncodingProblem::Repeated);
    }
    if field.number < before.number {
        return Err(EncodingProblem::Order { after: before.number });
    }
    Ok(())
}

fn content(field: &Field, input: &mut Input<'_>, here: &Trail<'_>, levels: usize) -> Result<(), OperationFault> {
    let fault = |problem| fault(here, problem);
    let is_default = match field.kind {
        Kind::Number64 | Kind::Number32 | Kind::Boolean => {
            let number = input.varint().map_err(fault)?;
            admit_range(field.kind, number).map_err(fault)?;
            number == 0
        }
        Kind::Text => {
            let text = input.chunk().map_err(fault)?;
            std::str::from_utf8(text).map_err(|_| fault(EncodingProblem::NotUtf8))?.is_empty()
        }
        Kind::Data => input.chunk().map_err(fault)?.is_empty(),
        Kind::Message(message) => {
            let inner = input.chunk().map_err(fault)?;
            let below = levels.checked_sub(1).ok_or_else(|| fault(EncodingProblem::TooDeep))?;
            walk(message, inner, here, below)?;
            // A message is never a default: present and empty isn't absent.
            false
        }
    };
    if is_default && field.place == Place::Single {
        return Err(fault(EncodingProblem::Default));
    }
    Ok(())
}

fn admit_range(kind: Kind, number: u64) -> Result<(), EncodingProblem> {
    let highest = match kind {
        Kind::Boolean => 1,
        Kind::Number32 => u64::from(u32::MAX),
        _ => u64::MAX,
    };
    if number > highest { Err(EncodingProblem::Range) } else { Ok(()) }
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    /// A varint in its shortest form.
    fn varint(&mut self) -> Result<u64, EncodingProblem> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.bytes.split_first().ok_or(EncodingProblem::Truncated)?;
            self.bytes = rest;
            let bits = u64::from(first & 0x7f);
            if shift == 63 && *first > 1 {
                return Err(EncodingProblem::LongVarint);
            }
            number |= bits << shift;
            if first & 0x80 == 0 {
                let is_shortest = *first != 0 || shift == 0;
                return if is_shortest { Ok(number) } else { Err(EncodingProblem::LongVarint) };
            }
        }
        Err(EncodingProblem::LongVarint)
    }

    /// Bytes with their length in front.
    fn chunk(&mut self) -> Result<&'a [u8], EncodingProblem> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| EncodingProblem::Truncated)?;
        let (chunk, rest) = self.bytes.split_at_checked(length).ok_or(EncodingProblem::Truncated)?;
        self.bytes = rest;
        Ok(chunk)
    }
}
