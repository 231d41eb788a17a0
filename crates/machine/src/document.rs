//! Mutations inside a document, at a path (data-model §2.3). Each leaves the document as it was if it
//! fails.

use quorate_types::operation::Path;
use quorate_types::receipt::RejectionCode;
use quorate_types::value::Value;

/// Why a mutation isn't possible: a code and a sentence.
pub(crate) type Refusal = (RejectionCode, String);

/// What stands at `path`.
pub(crate) fn value_at<'v>(root: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(root, |at, step| match at {
        Value::Map(entries) => entries.get(step),
        Value::List(items) => items.get(Path::index(step)?),
        _ => None,
    })
}

/// Writes `value` at `path`: a key of a map may be new, an index must exist.
pub(crate) fn set(root: &mut Value, path: &Path, value: Value) -> Result<(), Refusal> {
    let (last, holder) = holder(root, path)?;
    match holder {
        Value::Map(entries) => {
            entries.insert(last.to_owned(), value);
            Ok(())
        }
        Value::List(items) => {
            let at = item(items, last).ok_or_else(|| nothing_at(path))?;
            *at = value;
            Ok(())
        }
        other => Err(holds_nothing(other, path)),
    }
}

/// Removes what stands at `path`.
pub(crate) fn unset(root: &mut Value, path: &Path) -> Result<(), Refusal> {
    let (last, holder) = holder(root, path)?;
    match holder {
        Value::Map(entries) => entries.remove(last).map(drop).ok_or_else(|| nothing_at(path)),
        Value::List(items) => {
            let index = Path::index(last).filter(|index| *index < items.len());
            items.remove(index.ok_or_else(|| nothing_at(path))?);
            Ok(())
        }
        other => Err(holds_nothing(other, path)),
    }
}

/// Adds to the integer at `path`; a new key of a map counts as 0.
pub(crate) fn increment(root: &mut Value, path: &Path, by: i64) -> Result<(), Refusal> {
    let (last, holder) = holder(root, path)?;
    let Some(target) = existing(holder, last, path)? else {
        return set(root, path, Value::Integer(by));
    };
    let Value::Integer(number) = target else {
        return Err(wrong_type(target, path, "an integer"));
    };
    *number = number.checked_add(by).ok_or_else(|| {
        let text = format!("{number} at {path} plus {by} leaves the range of 64-bit integers");
        (RejectionCode::Overflow, text)
    })?;
    Ok(())
}

/// Appends to the list at `path`; a new key of a map counts as an empty one.
pub(crate) fn push(root: &mut Value, path: &Path, value: Value) -> Result<(), Refusal> {
    let (last, holder) = holder(root, path)?;
    match existing(holder, last, path)? {
        None => set(root, path, Value::List(vec![value])),
        Some(Value::List(items)) => {
            items.push(value);
            Ok(())
        }
        Some(other) => Err(wrong_type(other, path, "a list")),
    }
}

/// Removes all members equal to `value` from the list at `path`.
pub(crate) fn pull(root: &mut Value, path: &Path, value: &Value) -> Result<(), Refusal> {
    let (last, holder) = holder(root, path)?;
    match existing(holder, last, path)? {
        None => Err(nothing_at(path)),
        Some(Value::List(items)) => {
            items.retain(|item| item != value);
            Ok(())
        }
        Some(other) => Err(wrong_type(other, path, "a list")),
    }
}

/// The last step of `path`, and what it goes into. (A path that mutates is never empty: an operation
/// with such a one isn't well-formed.)
fn holder<'v, 'p>(root: &'v mut Value, path: &'p Path) -> Result<(&'p str, &'v mut Value), Refusal> {
    let (last, above) = path.0.split_last().ok_or_else(|| nothing_at(path))?;
    let mut at = root;
    for step in above {
        at = match at {
            Value::Map(entries) => entries.get_mut(step),
            Value::List(items) => item(items, step),
            other => return Err(holds_nothing(other, path)),
        }
        .ok_or_else(|| nothing_at(path))?;
    }
    Ok((last, at))
}

/// What stands at the last step; `None` for a key that a map doesn't have.
fn existing<'v>(holder: &'v mut Value, last: &str, path: &Path) -> Result<Option<&'v mut Value>, Refusal> {
    match holder {
        Value::Map(entries) => Ok(entries.get_mut(last)),
        Value::List(items) => item(items, last).map(Some).ok_or_else(|| nothing_at(path)),
        other => Err(holds_nothing(other, path)),
    }
}

fn item<'v>(items: &'v mut [Value], step: &str) -> Option<&'v mut Value> {
    items.get_mut(Path::index(step)?)
}

fn nothing_at(path: &Path) -> Refusal {
    (RejectionCode::NoSuchPath, format!("there is nothing at {path}"))
}

fn holds_nothing(found: &Value, path: &Path) -> Refusal {
    (RejectionCode::WrongType, format!("{path} leads through {}, which holds nothing", found.type_name()))
}

fn wrong_type(found: &Value, path: &Path, wanted: &str) -> Refusal {
    (RejectionCode::WrongType, format!("at {path} stands {}, not {wanted}", found.type_name()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn map(entries: &[(&str, Value)]) -> Value {
        Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<BTreeMap<_, _>>())
    }

    fn integers(numbers: &[i64]) -> Value {
        Value::List(numbers.iter().copied().map(Value::Integer).collect())
    }

    fn document() -> Value {
        map(&[("list", integers(&[1, 2, 1])), ("n", Value::Integer(5)), ("sub", map(&[("0", Value::Null)]))])
    }

    fn path(pointer: &str) -> Path {
        pointer.parse().unwrap()
    }

    /// Applies and returns the document, or the code; a failed mutation must leave it as it was.
    fn after(change: impl FnOnce(&mut Value) -> Result<(), Refusal>) -> Result<Value, RejectionCode> {
        let mut value = document();
        match change(&mut value) {
            Ok(()) => Ok(value),
            Err((code, _)) => {
                assert_eq!(value, document(), "a failed mutation changes nothing");
                Err(code)
            }
        }
    }

    fn part(value: Result<Value, RejectionCode>, pointer: &str) -> Option<Value> {
        value_at(&value.unwrap(), &path(pointer).0).cloned()
    }

    use RejectionCode::{NoSuchPath, Overflow, WrongType};

    #[test]
    fn a_step_is_a_key_in_a_map_and_an_index_in_a_list() {
        let document = document();
        assert_eq!(value_at(&document, &path("/list/2").0), Some(&Value::Integer(1)));
        assert_eq!(value_at(&document, &path("/sub/0").0), Some(&Value::Null));
        assert_eq!(value_at(&document, &path("").0), Some(&document));
        for pointer in ["/list/3", "/list/02", "/list/x", "/n/0", "/nowhere"] {
            assert_eq!(value_at(&document, &path(pointer).0), None, "{pointer}");
        }
    }

    #[test]
    fn set_writes_keys_old_and_new_and_indexes_that_exist() {
        let set_at = |pointer: &str| after(|value| set(value, &path(pointer), Value::Boolean(true)));
        for pointer in ["/n", "/new", "/list/0", "/sub/0", "/"] {
            assert_eq!(part(set_at(pointer), pointer), Some(Value::Boolean(true)), "{pointer}");
        }
        assert_eq!(set_at("/list/3"), Err(NoSuchPath));
        assert_eq!(set_at("/list/x"), Err(NoSuchPath));
        assert_eq!(set_at("/no/where"), Err(NoSuchPath));
        assert_eq!(set_at("/n/x"), Err(WrongType));
        assert_eq!(set_at("/n/x/y"), Err(WrongType));
    }

    #[test]
    fn unset_removes_what_exists_and_lists_close_up() {
        let unset_at = |pointer: &str| after(|value| unset(value, &path(pointer)));
        assert_eq!(part(unset_at("/n"), "/n"), None);
        assert_eq!(part(unset_at("/list/1"), "/list"), Some(integers(&[1, 1])));
        for pointer in ["/new", "/list/3", "/sub/1"] {
            assert_eq!(unset_at(pointer), Err(NoSuchPath), "{pointer}");
        }
        assert_eq!(unset_at("/n/x"), Err(WrongType));
    }

    #[test]
    fn increment_adds_with_a_check_and_starts_new_keys_at_zero() {
        let add = |pointer: &str, by| after(|value| increment(value, &path(pointer), by));
        assert_eq!(part(add("/n", -7), "/n"), Some(Value::Integer(-2)));
        assert_eq!(part(add("/new", 3), "/new"), Some(Value::Integer(3)));
        assert_eq!(part(add("/list/1", 40), "/list/1"), Some(Value::Integer(42)));
        assert_eq!(add("/n", i64::MAX), Err(Overflow));
        assert_eq!(add("/sub", 1), Err(WrongType));
        assert_eq!(add("/list/3", 1), Err(NoSuchPath));
        assert_eq!(add("/no/where", 1), Err(NoSuchPath));
    }

    #[test]
    fn push_appends_and_makes_the_list_at_a_new_key() {
        let push_at = |pointer: &str| after(|value| push(value, &path(pointer), Value::Integer(9)));
        assert_eq!(part(push_at("/list"), "/list"), Some(integers(&[1, 2, 1, 9])));
        assert_eq!(part(push_at("/new"), "/new"), Some(integers(&[9])));
        assert_eq!(push_at("/n"), Err(WrongType));
        assert_eq!(push_at("/list/9"), Err(NoSuchPath));
    }

    #[test]
    fn pull_removes_every_equal_member_and_none_is_no_error() {
        let pull_at = |pointer: &str, number| after(|value| pull(value, &path(pointer), &Value::Integer(number)));
        assert_eq!(part(pull_at("/list", 1), "/list"), Some(integers(&[2])));
        assert_eq!(pull_at("/list", 7), Ok(document()));
        assert_eq!(pull_at("/new", 1), Err(NoSuchPath));
        assert_eq!(pull_at("/n", 1), Err(WrongType));
    }
}
