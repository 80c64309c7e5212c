//! Seats of the House of Representatives: money of 1882. Seats are units, populations are weights.

use super::{Ran, amounts, cases, file, weights::weights};
use crate::{
    revenue_model::{
        ModelSpec,
        spec::{LineSpec, StepSpec},
    },
    tests::scene::{Ledger, gross, shares, usd},
};
use serde_json::Value;

fn seats(spec: &ModelSpec, size: i64) -> Vec<i64> {
    gross(&spec.check().unwrap(), &mut Ledger::new(), size)
}
fn with_a_seat_each(populations: &[u64]) -> ModelSpec {
    ModelSpec { min_unit_per_line: true, ..shares(populations) }
}

/// By largest remainder, for the sizes that the Census Office tabulated.
pub fn census(file: &Value) -> Ran {
    let populations = weights(&file["weights"]);
    let plain = shares(&populations);
    for case in cases(file) {
        let row = amounts(case);
        assert_eq!(seats(&plain, row[0]), row[1..], "a House of {}", row[0]);
    }
    for paradox in file["known_paradoxes"].as_array().unwrap() {
        let state = file["names"].as_array().unwrap().iter().position(|name| *name == paradox[2]).unwrap();
        let of = |size: &Value| seats(&plain, size.as_i64().unwrap())[state];
        assert!(of(&paradox[1]) < of(&paradox[0]), "a larger House takes a seat from {}", paradox[2]);
    }
    Ran::of(cases(file).len())
}

/// The census of 1880, and the seats of the Act of February 25, 1882 (22 Stat. 5), in the order of the file.
fn of_1880() -> (Vec<u64>, Value) {
    let file = file("census1880_hamilton_275_350.json");
    (weights(&file["weights"]), file["names"].clone())
}
const ACT_OF_1882: [i64; 38] = [
    8, 5, 6, 1, 4, 1, 2, 10, 20, 13, 11, 7, 11, 6, 4, 6, 12, 11, 5, 7, 14, 3, 1, 2, 7, 34, 9, 21, 1, 28, 2, 7, 10, 11,
    2, 10, 4, 9,
];

/// The census of 1890 ("verified population", Census Office, November 25, 1890), and the seats of the Act of February 7,
/// 1891 (26 Stat. 735), in the order of the Act. The sum is the apportionment population that the Census publishes.
const OF_1890: [(&str, u64, i64); 44] = [
    ("Alabama", 1_513_017, 9),
    ("Arkansas", 1_128_179, 6),
    ("California", 1_208_130, 7),
    ("Colorado", 412_198, 2),
    ("Connecticut", 746_258, 4),
    ("Delaware", 168_493, 1),
    ("Florida", 391_422, 2),
    ("Georgia", 1_837_353, 11),
    ("Idaho", 84_385, 1),
    ("Illinois", 3_826_351, 22),
    ("Indiana", 2_192_404, 13),
    ("Iowa", 1_911_896, 11),
    ("Kansas", 1_427_096, 8),
    ("Kentucky", 1_858_635, 11),
    ("Louisiana", 1_118_587, 6),
    ("Maine", 661_086, 4),
    ("Maryland", 1_042_390, 6),
    ("Massachusetts", 2_238_943, 13),
    ("Michigan", 2_093_889, 12),
    ("Minnesota", 1_301_826, 7),
    ("Mississippi", 1_289_600, 7),
    ("Missouri", 2_679_184, 15),
    ("Montana", 132_159, 1),
    ("Nebraska", 1_058_910, 6),
    ("Nevada", 45_761, 1),
    ("New Hampshire", 376_530, 2),
    ("New Jersey", 1_444_933, 8),
    ("New York", 5_997_853, 34),
    ("North Carolina", 1_617_947, 9),
    ("North Dakota", 182_719, 1),
    ("Ohio", 3_672_316, 21),
    ("Oregon", 313_767, 2),
    ("Pennsylvania", 5_258_014, 30),
    ("Rhode Island", 345_506, 2),
    ("South Carolina", 1_151_149, 7),
    ("South Dakota", 328_808, 2),
    ("Tennessee", 1_767_518, 10),
    ("Texas", 2_235_523, 13),
    ("Vermont", 332_422, 2),
    ("Virginia", 1_655_980, 10),
    ("Washington", 349_390, 2),
    ("West Virginia", 762_794, 4),
    ("Wisconsin", 1_686_880, 10),
    ("Wyoming", 60_705, 1),
];

#[test]
fn the_census_of_1880_is_divided_as_the_census_office_did() {
    assert_eq!(census(&file("census1880_hamilton_275_350.json")), Ran::of(10));
}

#[test]
fn a_seat_for_everybody_is_the_act_of_1882() {
    let (populations, _) = of_1880();
    assert_eq!((populations.iter().sum::<u64>(), ACT_OF_1882.iter().sum::<i64>()), (49_371_340, 325));
    assert_eq!(seats(&with_a_seat_each(&populations), 325), ACT_OF_1882);
    assert_ne!(seats(&shares(&populations), 325), ACT_OF_1882, "without it, Nevada has none");
}

#[test]
fn a_seat_for_everybody_is_the_act_of_1891() {
    let populations: Vec<u64> = OF_1890.iter().map(|(_, population, _)| *population).collect();
    let act: Vec<i64> = OF_1890.iter().map(|(.., seats)| *seats).collect();
    assert_eq!((populations.iter().sum::<u64>(), act.iter().sum::<i64>()), (61_908_906, 356));
    assert_eq!(seats(&with_a_seat_each(&populations), 356), act);
}

/// What gave the paradox its name. It needs the seat that Nevada is lifted to: without it Alabama keeps its eight.
#[test]
fn alabama_loses_a_seat_when_the_house_grows_from_299_to_300() {
    let (populations, names) = of_1880();
    assert_eq!(names[0], "Alabama");
    let alabama = |spec: &ModelSpec| [299, 300].map(|size| seats(spec, size)[0]);
    assert_eq!(alabama(&with_a_seat_each(&populations)), [8, 7]);
    assert_eq!(alabama(&shares(&populations)), [8, 8]);
}

/// Water-filling with floors of one is something else: that is why there are two options.
#[test]
fn floors_of_one_are_not_the_rule_of_the_house() {
    let (populations, names) = of_1880();
    let mut spec = ModelSpec { currency: Some(usd()), ..shares(&populations) };
    if let StepSpec::Share { lines, .. } = &mut spec.steps[0] {
        lines.iter_mut().for_each(|line: &mut LineSpec| line.min = Some(1));
    }
    let filled = seats(&spec, 325);
    let differs: Vec<(&str, i64)> = (0..38)
        .filter(|state| filled[*state] != ACT_OF_1882[*state])
        .map(|state| (names[state].as_str().unwrap(), filled[state]))
        .collect();
    assert_eq!(differs, [("Mississippi", 8), ("New York", 33)]);
}
