//! Import cycles: the strongly connected components of the import graph (Tarjan, 1972).

use std::collections::{BTreeMap, BTreeSet};

/// Groups of two nodes or more that reach each other, each sorted.
pub fn cycles<N: Clone + Ord>(edges: &BTreeSet<(N, N)>) -> Vec<Vec<N>> {
    let mut graph: BTreeMap<&N, Vec<&N>> = BTreeMap::new();
    for (from, to) in edges {
        graph.entry(from).or_default().push(to);
        graph.entry(to).or_default();
    }
    let mut search = Search {
        graph: &graph,
        index: BTreeMap::new(),
        low: BTreeMap::new(),
        stack: vec![],
        components: vec![],
    };
    for node in graph.keys() {
        if !search.index.contains_key(node) {
            search.visit(node);
        }
    }
    let components = search.components.into_iter();
    components.filter(|nodes| nodes.len() > 1).collect()
}

struct Search<'a, N> {
    graph: &'a BTreeMap<&'a N, Vec<&'a N>>,
    index: BTreeMap<&'a N, usize>,
    low: BTreeMap<&'a N, usize>,
    stack: Vec<&'a N>,
    components: Vec<Vec<N>>,
}

impl<'a, N: Clone + Ord> Search<'a, N> {
    fn visit(&mut self, node: &'a N) {
        let number = self.index.len();
        self.index.insert(node, number);
        self.low.insert(node, number);
        self.stack.push(node);
        for next in self.graph.get(node).into_iter().flatten().copied() {
            if !self.index.contains_key(next) {
                self.visit(next);
                self.lower(node, self.low.get(next).copied());
            } else if self.stack.contains(&next) {
                self.lower(node, self.index.get(next).copied());
            }
        }
        if self.low.get(node) == self.index.get(node) {
            self.pop_component(node);
        }
    }

    fn lower(&mut self, node: &'a N, other: Option<usize>) {
        let low = self.low.get_mut(node);
        if let Some((low, other)) = low.zip(other) {
            *low = (*low).min(other);
        }
    }

    fn pop_component(&mut self, root: &'a N) {
        let start = self.stack.iter().position(|node| *node == root);
        let component = self.stack.split_off(start.unwrap_or_default());
        let mut component: Vec<N> = component.into_iter().cloned().collect();
        component.sort();
        self.components.push(component);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(edges: &[(u8, u8)]) -> Vec<Vec<u8>> {
        cycles(&edges.iter().copied().collect())
    }

    #[test]
    fn a_line_has_no_cycle() {
        assert!(of(&[(1, 2), (2, 3), (1, 3)]).is_empty());
    }

    #[test]
    fn two_that_import_each_other_are_a_cycle() {
        assert_eq!(of(&[(1, 2), (2, 1), (2, 3)]), [[1, 2]]);
    }

    #[test]
    fn two_cycles_are_told_apart() {
        let edges = [(1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (5, 4)];
        assert_eq!(of(&edges), [vec![4, 5], vec![1, 2, 3]]);
    }
}
