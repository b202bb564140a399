//! Attack detection against public corpora. Rates are printed, and each has a floor.

use std::collections::BTreeMap;

use bartizan_conformance::crs::{self, Target, Verdict};
use bartizan_conformance::{attacks, vectors};
use bartizan_engine::validation::inspect::{Looking, inspect};

const ALL: Looking = Looking { sqli: true, xss: true, traversal: true };

#[test]
fn libinjection_corpora() -> Result<(), String> {
    let Some(folder) = vectors::folder()? else { return Ok(()) };
    let folder = folder.join("libinjection/data");
    let mut totals: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten().map(|e| e.path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = match name.split(['-', '_']).next() {
            Some("sqli") => "sqli",
            Some("xss") => "xss",
            Some("false") => "false",
            _ => continue,
        };
        let (mut found, mut all) = (0, 0);
        for line in attacks::lines(&path)? {
            let verdict = inspect(&line, &ALL);
            all += 1;
            found += usize::from(verdict.is_some());
            let surprise = if kind == "false" { verdict.is_some() } else { verdict.is_none() };
            if surprise && std::env::var("SHOW").is_ok() {
                println!("{name}\t{verdict:?}\t{}", String::from_utf8_lossy(&line));
            }
        }
        let total = totals.entry(kind).or_default();
        *total = (total.0 + found, total.1 + all);
    }
    println!("libinjection: {totals:?} (found, of)");
    let of = |kind: &str| totals.get(kind).copied().unwrap_or_default();
    let ((sqli, all_sqli), (xss, all_xss), (alarms, harmless)) = (of("sqli"), of("xss"), of("false"));
    assert!(all_sqli >= 17_000 && all_xss >= 1_600 && harmless >= 400, "vectors are missing");
    assert!(sqli * 1000 >= all_sqli * 998, "SQL injection: {sqli} of {all_sqli}");
    assert!(xss * 1000 >= all_xss * 999, "cross-site scripting: {xss} of {all_xss}");
    assert!(alarms <= 13, "false alarms: {alarms} of {harmless}");
    Ok(())
}

#[test]
fn http_params() -> Result<(), String> {
    let Some(folder) = vectors::folder()? else { return Ok(()) };
    let records = attacks::csv(&folder.join("http-params/payload_full.csv"))?;
    let mut totals: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for record in records.iter().skip(1) {
        let (Some(payload), Some(kind)) = (record.first(), record.get(2)) else { continue };
        let verdict = inspect(payload.as_bytes(), &ALL);
        let total = totals.entry(kind.clone()).or_default();
        *total = (total.0 + usize::from(verdict.is_some()), total.1 + 1);
        if (kind == "norm") == verdict.is_some() && std::env::var("SHOW").is_ok() {
            println!("{kind}\t{verdict:?}\t{payload}");
        }
    }
    println!("http-params: {totals:?} (found, of)");
    let of = |kind: &str| totals.get(kind).copied().unwrap_or_default();
    let ((alarms, benign), (sqli, all_sqli), (xss, all_xss)) = (of("norm"), of("sqli"), of("xss"));
    let (traversal, all_traversal) = of("path-traversal");
    assert!(benign >= 19_304 && all_sqli >= 10_000 && all_xss >= 500, "vectors are missing");
    assert_eq!(alarms, 0, "false alarms");
    assert!(sqli * 1000 >= all_sqli * 998, "SQL injection: {sqli} of {all_sqli}");
    assert!(xss * 100 >= all_xss * 93, "cross-site scripting: {xss} of {all_xss}");
    // The rest has lost its slashes on the way into the data set, or is a run of letters.
    assert!(traversal * 100 >= all_traversal * 65, "path traversal: {traversal} of {all_traversal}");
    Ok(())
}
/// The least part of the cases that is refused: class, paranoia level, percent.
const FLOORS: &[(u32, u8, usize)] = &[(930, 1, 40), (941, 1, 59), (942, 1, 38)];

#[test]
fn core_rule_set() -> Result<(), String> {
    let Some(folder) = vectors::folder()? else { return Ok(()) };
    let target = Target::new()?;
    let mut totals: BTreeMap<(u32, u8), [usize; 3]> = BTreeMap::new();
    for class in [
        "REQUEST-930-APPLICATION-ATTACK-LFI",
        "REQUEST-941-APPLICATION-ATTACK-XSS",
        "REQUEST-942-APPLICATION-ATTACK-SQLI",
    ] {
        let entries = std::fs::read_dir(folder.join("crs").join(class)).map_err(|e| e.to_string())?;
        let mut files: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        files.sort();
        for path in files {
            let yaml =
                serde_saphyr::from_str(&crs::read(&path)?).map_err(|e| format!("{}: {e}", path.display()))?;
            for stage in crs::stages(&yaml)? {
                if !stage.expected.contains(&stage.rule) {
                    continue;
                }
                let verdict = target.judge(&stage);
                let total = totals.entry((stage.rule / 1000, crs::paranoia_level(stage.rule))).or_default();
                let slot = match verdict {
                    Verdict::Attack => 0,
                    Verdict::Other => 1,
                    Verdict::Passed => 2,
                };
                total[slot] += 1;
                if verdict == Verdict::Passed && std::env::var("SHOW").is_ok() {
                    println!("crs\tPL{}\t{stage:?}", crs::paranoia_level(stage.rule));
                }
            }
        }
    }
    // Many of these are single words (`cos(`, `northwind`) that a rule set adds up and no sane filter refuses
    // alone, and some are XML or multipart, which no rule here reads.
    let mut ran = 0;
    for ((class, level), [attack, other, passed]) in &totals {
        let all = attack + other + passed;
        ran += all;
        let floor =
            FLOORS.iter().find(|(c, l, _)| (c, l) == (class, level)).map_or(0, |(_, _, floor)| *floor);
        assert!(
            (attack + other) * 100 >= all * floor,
            "{class} at level {level}: {attack} and {other} of {all}"
        );
        println!(
            "crs {class} paranoia {level}: {attack} refused as attacks, {other} otherwise, {passed} passed"
        );
    }
    assert!(ran > 1_000, "vectors are missing");
    Ok(())
}
