//! Where in a body something stands, written out only when it is at fault.

use std::fmt::Write as _;

/// How much of each end of a long path is shown.
const PATH_END_BYTES: usize = 80;

/// The way from the body down to a field, kept on the stack.
#[derive(Clone, Copy)]
pub(super) struct Trail<'a> {
    above: Option<&'a Trail<'a>>,
    name: &'a str,
    index: Option<usize>,
}

impl<'a> Trail<'a> {
    /// The body itself; its name is written only when no field is.
    pub(super) const BODY: Trail<'static> = Trail { above: None, name: "body", index: None };

    /// A field that stands once.
    pub(super) const fn field(&'a self, name: &'a str) -> Trail<'a> {
        Trail { above: Some(self), name, index: None }
    }

    /// A member of a repeated field.
    pub(super) const fn item(&'a self, name: &'a str, index: usize) -> Trail<'a> {
        Trail { above: Some(self), name, index: Some(index) }
    }

    /// The path in words, such as `mutations[2].set.path[0]`; the middle of a long one is left out.
    pub(super) fn path(&self) -> String {
        let path = self.full_path();
        let ends = path.get(..PATH_END_BYTES).zip(path.get(path.len().saturating_sub(PATH_END_BYTES)..));
        match ends {
            Some((start, end)) if path.len() > 2 * PATH_END_BYTES => format!("{start}…{end}"),
            _ => path,
        }
    }

    fn full_path(&self) -> String {
        let mut path = match self.above {
            Some(above) if above.above.is_some() => above.full_path() + ".",
            _ => String::new(),
        };
        path.push_str(self.name);
        if let Some(index) = self.index {
            write!(path, "[{index}]").expect("writing to a string cannot fail");
        }
        path
    }
}
