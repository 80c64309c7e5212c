//! The part of `docs/benchmarks.md` that a bench writes: what stands between its two markers.

use crate::failure::{Attempt, Failure, Result};
use crate::workspace::Workspace;

/// Puts the tables of a bench on the page, in place of those that are there.
pub fn put(workspace: &Workspace, bench: &str, section: &str) -> Result<()> {
    let path = workspace.root().join("docs").join("benchmarks.md");
    let page = std::fs::read_to_string(&path).attempting(|| format!("reading {}", path.display()))?;
    let page = replace(&page, bench, section)?;
    std::fs::write(&path, page).attempting(|| format!("writing {}", path.display()))?;
    println!("wrote the part `{bench}` of {}", path.display());
    Ok(())
}

fn replace(page: &str, bench: &str, section: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- bench:{bench} -->\n"), format!("<!-- /bench:{bench} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.ok_or_else(|| {
        Failure::new(format!("docs/benchmarks.md has no part `{bench}`: the two markers are missing"))
    })?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", section.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::Bench;
    use super::*;

    #[test]
    fn every_bench_has_its_part_of_the_page() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md")).unwrap();
        for bench in Bench::ALL {
            assert!(replace(&page, bench.name(), "").is_ok(), "{}", bench.name());
        }
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let page = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n<!-- bench:y -->\nc\n<!-- /bench:y -->\n";
        let expected = page.replace("\nold\n", "\n\nnew\n\n");
        assert_eq!(replace(page, "x", "new\n"), Ok(expected.clone()));
        assert_eq!(replace(&expected, "x", "new"), Ok(expected));
        assert!(replace(page, "z", "new").is_err());
    }
}
