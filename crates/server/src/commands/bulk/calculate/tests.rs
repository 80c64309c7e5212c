use super::{super::lines::COLUMNS, *};
use clap::Parser;
use parquet::{
    basic::Compression,
    column::writer::ColumnWriter,
    data_type::ByteArray,
    file::{
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    record::RowAccessor,
    schema::parser::parse_message_type,
};
use std::{fs, fs::File, sync::Arc};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A folder with models and inputs.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(models: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::create_dir(desk.0.path().join("models")).unwrap();
        for (name, text) in models {
            fs::write(desk.0.path().join("models").join(name), text).unwrap();
        }
        desk
    }
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }
    fn args(&self, input: &str, output: &str, more: &[&str]) -> Args {
        let (input, output, models, reject) =
            (self.path(input), self.path(output), self.path("models"), self.path("rejects.csv"));
        let fixed = ["x", "--input", &input, "--output", &output, "--models", &models, "--reject", &reject];
        Line::parse_from(fixed.iter().chain(more)).args
    }
    /// So many threads, in pieces of a few lines.
    fn run(&self, input: &str, output: &str, threads: usize) -> Result<Summary, BulkError> {
        let args = self.args(input, output, &["--threads", &threads.to_string()]);
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        calculate(&args, now, &AtomicBool::new(false), |_| 64).map(|(summary, _)| summary)
    }
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const FILM: &str = r#"{"platformFee":{"ratePpm":50000},"steps":[{"type":"share","lines":[
    {"recipientId":"rec_ana","percent":"70"},{"recipientId":"rec_tbd","percent":"30","placeholder":true}]}]}"#;
/// Gives rec_b 1,000 back before rec_a gets anything.
const RECOUP: &str = r#"{"currency":"USD","steps":[
    {"type":"recoup","key":"advance","lines":[{"recipientId":"rec_b","principal":1000}]},
    {"type":"remainder","recipientId":"rec_a"}]}"#;

fn column<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let place = lines.next().unwrap().iter().position(|found| *found == name).unwrap();
    lines.map(|line| line[place]).collect()
}

#[test]
fn every_recipient_of_every_release_has_a_line() {
    let desk = Desk::new(&[("prj_film.json", FILM)]);
    desk.put(
        "in.csv",
        "projectId,escrowId,currency,amount,deductions\n\
         prj_film,esc_1,USD,200001,\n\
         prj_film,esc_2,JPY,105,psp_fee:3;refund:2\n",
    );
    let summary = desk.run("in.csv", "out.csv", 1).unwrap();
    let hash = film_hash();
    let expected = format!(
        "{}\n\
         esc_1,prj_film,rec_ana,USD,140001,7000,0,133001,0,133001,1,{hash}\n\
         esc_1,prj_film,rec_tbd,USD,60000,3000,0,57000,57000,0,1,{hash}\n\
         esc_2,prj_film,rec_ana,JPY,70,4,0,66,0,66,1,{hash}\nesc_2,prj_film,rec_tbd,JPY,30,1,0,29,29,0,1,{hash}\n",
        COLUMNS.join(",")
    );
    assert_eq!(desk.text("out.csv"), expected);
    assert_eq!(
        (summary.rows_read, summary.rows_calculated, summary.rows_rejected, summary.lines_written),
        (2, 2, 0, 4)
    );
    let (usd, jpy) = (summary.currencies["USD"], summary.currencies["JPY"]);
    assert_eq!(
        (usd.amount, usd.platform_fee, usd.net, usd.held, usd.payable),
        (200_001, 10_000, 190_001, 57_000, 133_001)
    );
    assert_eq!((jpy.amount, jpy.deductions, jpy.gross), (105, 5, 100));
    assert_eq!(desk.text("rejects.csv"), "line,column,code,message,escrowId\n");
    assert_eq!(desk.names(), ["in.csv", "models", "out.csv", "rejects.csv"]);
}

fn film_hash() -> String {
    serde_json::from_str::<domain::revenue_model::ModelSpec>(FILM).unwrap().hash().to_string()
}

#[test]
fn a_bad_row_is_told_with_its_place_and_the_others_go_on() {
    let desk = Desk::new(&[
        ("prj_film.json", FILM),
        ("prj_old.json", &FILM.replacen('{', r#"{"effectiveTo":"2026-01-01T00:00:00Z","#, 1)),
        ("prj_r.json", RECOUP),
    ]);
    desk.put(
        "in.csv",
        "escrowId,projectId,amount,currency,asOf,deductions\n\
         esc_1,prj_film,100,USD,,\n\
         \"esc_2\nx\",prj_film,1.5,USD,,\n\
         esc_3,prj_none,100,USD,,\n\
         esc_4,prj_old,100,USD,,\n\
         esc_5,prj_old,100,USD,2025-12-31,\n\
         esc_6,prj_film,100,USD,,refund:101\n\
         esc_7,prj_r,100,EUR,,\n\
         esc_8,prj_film,100\n\
         esc_9,prj_film,100,USD,,refund:100\n",
    );
    let summary = desk.run("in.csv", "out.csv", 2).unwrap();
    let rejects = desk.text("rejects.csv");
    let places: Vec<String> = rejects
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            format!("{} {} {} {}", fields[0], fields[1], fields[2], fields.last().unwrap())
        })
        .collect();
    let expected = [
        "3 escrowId invalid_format ",
        "3 amount amount_not_integer ",
        "5 projectId project_not_found esc_3",
        "6 asOf no_effective_model esc_4",
        "8 deductions deductions_exceed_amount esc_6",
        "9 currency currency_mismatch esc_7",
        "10  column_count ",
    ];
    assert_eq!(places, expected, "{rejects}");
    assert_eq!(column(&desk.text("out.csv"), "escrowId"), ["esc_1", "esc_1", "esc_5", "esc_5", "esc_9", "esc_9"]);
    assert_eq!((summary.rows_read, summary.rows_calculated, summary.rows_rejected), (9, 3, 6));
}

#[test]
fn what_is_counted_is_carried_on_from_row_to_row() {
    let desk = Desk::new(&[("prj_r.json", RECOUP), ("prj_s.json", RECOUP)]);
    let rows = ["esc_1,prj_r,600", "esc_2,prj_s,1", "esc_3,prj_r,600", "esc_4,prj_r,600", "esc_5,prj_s,2000"];
    let rows = rows.map(|row| format!("{row},USD\n")).concat();
    desk.put("in.csv", &format!("escrowId,projectId,amount,currency\n{rows}"));
    desk.run("in.csv", "out.csv", 2).unwrap();
    let text = desk.text("out.csv");
    assert_eq!(column(&text, "recipientId")[..2], ["rec_b", "rec_a"]);
    assert_eq!(column(&text, "grossShare"), ["600", "0", "1", "0", "400", "200", "0", "600", "999", "1001"]);
}

#[test]
fn versions_of_one_project_count_on() {
    let later = RECOUP.replacen('{', r#"{"effectiveFrom":"2026-02-01T00:00:00Z","#, 1);
    let desk = Desk::new(&[("prj_r@1.json", RECOUP), ("prj_r@2.json", &later)]);
    desk.put(
        "in.csv",
        "escrowId,projectId,amount,currency,asOf\nesc_1,prj_r,600,USD,2026-01-31\nesc_2,prj_r,600,USD,2026-02-01\n",
    );
    desk.run("in.csv", "out.csv", 1).unwrap();
    let text = desk.text("out.csv");
    assert_eq!(column(&text, "grossShare"), ["600", "0", "400", "200"]);
    assert_eq!(column(&text, "modelVersion"), ["1", "1", "2", "2"]);
}

/// Many blocks, projects of all kinds, rows that are wrong.
fn mixed(desk: &Desk, rows: usize) {
    let mut text = "escrowId,projectId,amount,currency,asOf\n".to_owned();
    for row in 0..rows {
        let project = ["prj_film", "prj_r", "prj_many", "prj_none", "prj_film"][row * 7 % 5];
        let amount = if row % 11 == 0 { "x".to_owned() } else { (row * 37 % 5000).to_string() };
        let escrow = if row % 13 == 0 { format!("\"esc_{row}\"") } else { format!("esc_{row}") };
        text.push_str(&format!("{escrow},{project},{amount},USD,2026-01-{:02}\n", 1 + row % 28));
    }
    desk.put("in.csv", &text);
}

fn many() -> String {
    let lines: Vec<String> =
        (0..150).map(|at| format!(r#"{{"recipientId":"rec_m{at}","weight":{}}}"#, at + 1)).collect();
    format!(r#"{{"tieBreak":"carry","steps":[{{"type":"share","lines":[{}]}}]}}"#, lines.join(","))
}

#[test]
fn the_output_is_the_same_whatever_the_number_of_threads() {
    let desk = Desk::new(&[("prj_film.json", FILM), ("prj_r.json", RECOUP), ("prj_many.json", &many())]);
    mixed(&desk, 3000);
    for (name, threads) in [("1", 1), ("2", 2), ("2again", 2), ("7", 7)] {
        for ending in ["csv", "parquet"] {
            let summary = desk.run("in.csv", &format!("{name}.{ending}"), threads).unwrap();
            fs::rename(desk.path("rejects.csv"), desk.path(&format!("{name}.{ending}.rejects"))).unwrap();
            assert!(summary.rows_rejected > 600 && summary.rows_calculated > 1500, "{summary:?}");
        }
    }
    let bytes = |name: &str| fs::read(desk.path(name)).unwrap();
    for name in ["2", "2again", "7"] {
        for ending in ["csv", "parquet", "csv.rejects", "parquet.rejects"] {
            assert!(bytes(&format!("{name}.{ending}")) == bytes(&format!("1.{ending}")), "{name}.{ending}");
        }
    }
    let escrows = desk.text("1.csv");
    let numbers: Vec<usize> = column(&escrows, "escrowId").iter().map(|id| id[4..].parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "lines stand in the order of the input");
    let lines: Vec<usize> = desk
        .text("1.csv.rejects")
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect();
    assert!(lines.is_sorted());
}

#[test]
fn parquet_holds_what_csv_holds() {
    let desk = Desk::new(&[("prj_film.json", FILM), ("prj_r.json", RECOUP), ("prj_many.json", &many())]);
    mixed(&desk, 500);
    desk.run("in.csv", "out.csv", 2).unwrap();
    desk.run("in.csv", "out.parquet", 2).unwrap();
    let file = SerializedFileReader::new(File::open(desk.path("out.parquet")).unwrap()).unwrap();
    assert!(file.num_row_groups() > 3);
    let mut text = COLUMNS.join(",") + "\n";
    for row in file.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let string = |at| row.get_string(at).unwrap().clone();
        let mut cells: Vec<String> = (0..4).map(string).collect();
        cells.extend((4..10).map(|at| row.get_long(at).unwrap().to_string()));
        cells.extend([row.get_int(10).unwrap().to_string(), string(11)]);
        text.push_str(&(cells.join(",") + "\n"));
    }
    assert_eq!(text, desk.text("out.csv"));
}

/// A file of three rows as another tool would write it: snappy, nulls, an instant, an amount of 32 bits.
fn parquet(path: &str, schema: &str) -> Result<(), parquet::errors::ParquetError> {
    let schema = Arc::new(parse_message_type(schema)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(File::create(path)?, schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let texts = |texts: &[&str]| texts.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
    let mut place = 0;
    while let Some(mut column) = group.next_column()? {
        let levels = Some(&[1i16, 0, 1][..]);
        match (column.untyped(), place) {
            (ColumnWriter::ByteArrayColumnWriter(to), 0) => {
                to.write_batch(&texts(&["esc_1", "a,\"b\nc", "esc_3"]), None, None)?
            }
            (ColumnWriter::ByteArrayColumnWriter(to), 1) => {
                to.write_batch(&texts(&["prj_r", "prj_r", "prj_r"]), None, None)?
            }
            (ColumnWriter::Int32ColumnWriter(to), _) => to.write_batch(&[600, 7, 800], None, None)?,
            (ColumnWriter::DoubleColumnWriter(to), _) => to.write_batch(&[6.0, 7.0, 8.0], None, None)?,
            (ColumnWriter::ByteArrayColumnWriter(to), _) => to.write_batch(&texts(&["USD", "USD"]), levels, None)?,
            (ColumnWriter::Int64ColumnWriter(to), _) => {
                to.write_batch(&[1_769_860_800_000, 1_769_904_000_000], levels, None)?
            }
            _ => panic!("another column"),
        };
        column.close()?;
        place += 1;
    }
    group.close()?;
    file.close()?;
    Ok(())
}

#[test]
fn parquet_is_read_like_csv() {
    let later = RECOUP.replacen('{', r#"{"version":5,"effectiveFrom":"2026-02-01T00:00:00Z","#, 1);
    let early = RECOUP.replacen('{', r#"{"version":4,"effectiveTo":"2026-02-01T00:00:00Z","#, 1);
    let desk = Desk::new(&[("prj_r.json", &format!("[{early},{later}]"))]);
    let schema =
        "message m { required binary escrowId (STRING); required binary projectId (STRING); required int32 amount;
        optional binary currency (STRING); optional int64 asOf (TIMESTAMP(MILLIS,true)); }";
    parquet(&desk.path("in.parquet"), schema).unwrap();
    let summary = desk.run("in.parquet", "out.csv", 2).unwrap();
    assert_eq!((summary.rows_read, summary.rows_rejected), (3, 1));
    let text = desk.text("out.csv");
    assert_eq!(column(&text, "grossShare"), ["600", "0", "400", "400"]);
    assert_eq!(column(&text, "modelVersion"), ["4", "4", "5", "5"]);
    let rejects = desk.text("rejects.csv");
    assert!(rejects.contains("2,escrowId,invalid_format,") && rejects.contains("\n2,currency,required,"), "{rejects}");

    let floats = schema.replace("int32 amount", "double amount");
    parquet(&desk.path("floats.parquet"), &floats).unwrap();
    let error = desk.run("floats.parquet", "other.csv", 1).unwrap_err();
    assert!(matches!(&error, BulkError::BadInput(text) if text.contains("column `amount` is DOUBLE")), "{error}");
    assert!(!desk.names().contains(&"other.csv".to_owned()));
}

#[test]
fn what_is_not_finished_leaves_nothing_behind() {
    let desk = Desk::new(&[("prj_film.json", FILM)]);
    mixed(&desk, 1000);
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let stopped = calculate(&desk.args("in.csv", "out.parquet", &[]), now, &AtomicBool::new(true), lines_wanted);
    assert!(matches!(stopped, Err(BulkError::Interrupted)));
    desk.put(
        "broken.csv",
        &format!(
            "escrowId,projectId,amount,currency\n{}\"{}",
            "esc_1,prj_film,1,USD\n".repeat(9),
            "x\n".repeat(2_000_000)
        ),
    );
    assert!(matches!(desk.run("broken.csv", "out.csv", 2), Err(BulkError::BadInput(_))));
    assert_eq!(desk.names(), ["broken.csv", "in.csv", "models"]);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let desk = Desk::new(&[("prj_film.json", FILM)]);
    mixed(&desk, 3);
    desk.put("rejects.csv", "old");
    let told = |input: &str, output: &str| desk.run(input, output, 1).unwrap_err();
    assert!(matches!(told("in.csv", "in.csv"), BulkError::Usage(_)));
    assert!(matches!(told("in.csv", "rejects.csv"), BulkError::Usage(_)));
    assert!(matches!(told("in.csv", "out.xlsx"), BulkError::Usage(_)));
    assert!(matches!(told("in.txt", "out.csv"), BulkError::Usage(_)));
    assert!(matches!(told("models", "out.csv"), BulkError::Usage(_)));
    assert!(matches!(told("none.csv", "out.csv"), BulkError::Read(..)));
    assert!(matches!(told("in.csv", "none/out.csv"), BulkError::Write(..)));
    desk.put("models/prj_bad.json", "{}");
    assert!(matches!(told("none.csv", "out.csv"), BulkError::Models(_)));
    assert_eq!(desk.names(), ["in.csv", "models", "rejects.csv"]);
    assert_eq!(desk.text("rejects.csv"), "old");
}
