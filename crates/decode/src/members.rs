//! Which member of an object fills which place: names as the service writes them, then names that differ in letter case only.
//!
//! Rules, for an object whose known names are given:
//! - Of members with the same name the last one counts.
//! - A value that says nothing (null, and what the caller adds to that) under a known name, in whatever case, is as good as absent.
//! - A known name is matched exactly; only where that member is absent, without regard to ASCII case: the first such name of the document.
//! - All other members, also further spellings of a known name, are left over.

use crate::tape::{Node, Nodes};

/// The members of one object, sorted into the places of `N` known names. Reused from object to object.
pub(crate) struct Members<const N: usize> {
    names: [&'static str; N],
    says_nothing: fn(usize, &Node<'_>) -> bool,
    /// Node of the value under the exact name.
    exact: [Option<usize>; N],
    /// Other spellings in document order, each once.
    variants: Vec<Variant>,
    /// Nodes of all other names.
    rest: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Variant {
    place: usize,
    /// Node of the name where it stands for the last time; the value is the node behind.
    name: usize,
    /// Node of the name where it stands for the first time.
    first: usize,
}

enum Match {
    Exact(usize),
    Variant(usize),
    Unknown,
}

impl<const N: usize> Members<N> {
    /// `says_nothing` is asked about values other than null, with the place they stand for.
    pub(crate) fn new(names: [&'static str; N], says_nothing: fn(usize, &Node<'_>) -> bool) -> Self {
        Self { names, says_nothing, exact: [None; N], variants: Vec::new(), rest: Vec::new() }
    }

    /// Sorts the members of an object; none where the node is something else.
    pub(crate) fn sort(&mut self, nodes: Nodes<'_>, object: usize) {
        self.exact = [None; N];
        self.variants.clear();
        self.rest.clear();
        for name in nodes.names(object) {
            match self.find(nodes.text(name)) {
                Match::Exact(place) => {
                    if let Some(value) = self.exact.get_mut(place) {
                        *value = Some(name + 1);
                    }
                }
                Match::Variant(place) => self.variants.push(Variant { place, name, first: name }),
                Match::Unknown => self.rest.push(name),
            }
        }
        if !self.variants.is_empty() {
            self.settle_variants(nodes);
        }
    }

    /// Takes the value of a place: the best one not taken yet. Its node, `None` where there is none.
    pub(crate) fn take(&mut self, nodes: Nodes<'_>, place: usize) -> Option<usize> {
        if let Some(value) = self.exact.get_mut(place).and_then(Option::take)
            && !self.is_nothing(place, &nodes.get(value))
        {
            return Some(value);
        }
        let best = self.variants.iter().position(|variant| variant.place == place)?;
        Some(self.variants.remove(best).name + 1)
    }

    /// Nodes of the names of all members that were not taken and say something; equal names may repeat, the last one counts.
    pub(crate) fn left_over(&mut self) -> &[usize] {
        self.rest.extend(self.variants.drain(..).map(|variant| variant.name));
        &self.rest
    }

    fn find(&self, name: &str) -> Match {
        if let Some(place) = self.names.iter().position(|known| *known == name) {
            return Match::Exact(place);
        }
        let variant = self.names.iter().position(|known| known.eq_ignore_ascii_case(name));
        variant.map_or(Match::Unknown, Match::Variant)
    }

    fn is_nothing(&self, place: usize, node: &Node<'_>) -> bool {
        matches!(node, Node::Null) || (self.says_nothing)(place, node)
    }

    /// Keeps of each spelling the last value, at its first place in the document, unless it says nothing.
    fn settle_variants(&mut self, nodes: Nodes<'_>) {
        let mut variants = std::mem::take(&mut self.variants);
        variants.sort_unstable_by(|a, b| nodes.text(a.name).cmp(nodes.text(b.name)).then(a.name.cmp(&b.name)));
        variants.dedup_by(|later, kept| {
            let same = nodes.text(later.name) == nodes.text(kept.name);
            if same {
                kept.name = later.name;
            }
            same
        });
        variants.retain(|variant| !self.is_nothing(variant.place, &nodes.get(variant.name + 1)));
        variants.sort_unstable_by_key(|variant| variant.first);
        self.variants = variants;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Parser;

    /// What is taken for "ab" (twice) and "c", then what is left over.
    fn sorted(json: &str) -> String {
        Parser::new(128)
            .parse(json.as_bytes(), |nodes| {
                let mut members = Members::new(["ab", "c"], |place, node| place == 1 && *node == Node::Text(""));
                members.sort(nodes, 0);
                let mut text = |place| members.take(nodes, place).map_or("-", |value| nodes.text(value)).to_owned();
                let taken = [text(0), text(0), text(1)].join(" ");
                let left: Vec<&str> = members.left_over().iter().map(|&name| nodes.text(name)).collect();
                format!("{taken} | {}", left.join(" "))
            })
            .unwrap()
    }

    #[test]
    fn places() {
        let cases = [
            ("[1]", "- - - | "),
            (r#"{"ab":"1","x":"2","c":"3"}"#, "1 - 3 | x"),
            (r#"{"ab":"1","ab":"2","C":"3","C":"4"}"#, "2 - 4 | "),
            (r#"{"AB":"1","aB":"2","ab":"3","Ab":"4"}"#, "3 1 - | aB Ab"),
            (r#"{"AB":"1","aB":"2","AB":"3"}"#, "3 2 - | "),
            (r#"{"ab":null,"AB":null,"aB":"2"}"#, "2 - - | "),
            (r#"{"ab":"1","ab":null}"#, "- - - | "),
            (r#"{"ab":"","c":"","C":"1","x":null}"#, " - 1 | x"),
            (r#"{"c":"1","C":"","ſ":"2"}"#, "- - 1 | ſ"),
            (r#"{"":"1","abc":"2"}"#, "- - - |  abc"),
        ];
        for (json, expected) in cases {
            assert_eq!(sorted(json), expected, "{json}");
        }
    }
}
