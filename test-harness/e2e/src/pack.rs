//! Which policies share an Envoy.

use std::collections::BTreeMap;

/// Puts items into as few groups of about the same size as there can be, none with more than `most` items.
/// No group has two items that give one environment variable different values: a process has one environment.
pub(crate) fn pack<T>(
    items: Vec<T>,
    most: usize,
    environment: impl Fn(&T) -> &BTreeMap<String, String>,
) -> Vec<Vec<T>> {
    let groups = items.len().div_ceil(most.max(1)).max(1);
    let most = items.len().div_ceil(groups);
    let mut packed: Vec<(BTreeMap<String, String>, Vec<T>)> = Vec::new();
    for item in items {
        let wanted = environment(&item).clone();
        let fits = |(there, group): &&mut (BTreeMap<String, String>, Vec<T>)| {
            let agrees = |(name, value)| there.get(name).is_none_or(|other| other == value);
            group.len() < most && wanted.iter().all(agrees)
        };
        match packed.iter_mut().find(fits) {
            Some((there, group)) => {
                there.extend(wanted);
                group.push(item);
            }
            None => packed.push((wanted, vec![item])),
        }
    }
    packed.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &[(&str, &str)] = &[];

    /// Items as numbers with their environments.
    fn groups(environments: &[&[(&str, &str)]], most: usize) -> Vec<Vec<usize>> {
        let maps = environments.iter().map(|pairs| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        });
        let packed = pack(maps.enumerate().collect(), most, |(_, map)| map);
        packed.into_iter().map(|group| group.into_iter().map(|(number, _)| number).collect()).collect()
    }

    #[test]
    fn groups_are_few_and_of_a_size() {
        assert_eq!(groups(&[NONE; 5], 4), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(groups(&[NONE; 4], 4), [vec![0, 1, 2, 3]]);
        assert_eq!(groups(&[NONE; 3], 1), [[0], [1], [2]]);
        assert!(groups(&[], 4).is_empty());
    }

    #[test]
    fn one_name_has_one_value_in_a_group() {
        let (one, two) = (&[("A", "1")][..], &[("A", "2")][..]);
        assert_eq!(groups(&[one, two, one, &[("B", "2")]], 9), [vec![0, 2, 3], vec![1]]);
    }
}
