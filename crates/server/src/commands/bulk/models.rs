//! The folder of models: one file a project, or one a version. All of them are read and checked before anything else,
//! and everything that is wrong with any of them is told at once.

use super::failure::BulkError;
use crate::http::{
    ModelFile,
    json::{self, Node},
};
use app::failure::Detail;
use domain::{
    ids::{ProjectId, Requester},
    revenue_model::{ModelStatus, ModelVersion, RevenueModel},
    timestamp::Timestamp,
};
use serde_json::Value;
use std::{collections::HashMap, fmt, fs, path::Path};

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileFault {
    /// The file.
    pub(super) file: String,
    /// JSON pointer into it; empty, if it is the file as a whole.
    pub(super) pointer: String,
    /// The stable word.
    pub(super) code: String,
    /// For people.
    pub(super) message: String,
}

impl FileFault {
    pub(super) fn to_json(&self) -> Value {
        serde_json::json!({ "file": self.file, "field": self.pointer, "code": self.code, "message": self.message })
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, pointer, code, message } = self;
        let at = if pointer.is_empty() { "" } else { " at " };
        write!(f, "{file}{at}{pointer}: {message} ({code})")
    }
}

/// A version that splits money.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) written: ModelVersion,
    pub(super) model: RevenueModel,
}

/// Every version of every project.
#[derive(Debug)]
pub(super) struct Models {
    versions: Vec<Version>,
    /// The versions of a project, the newest first, by its id.
    projects: HashMap<Vec<u8>, Vec<usize>>,
}

/// Why there is no version for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoVersion {
    /// There is no file of that project.
    ProjectUnknown,
    /// None of its versions covers that instant.
    NoneInForce,
}

impl Models {
    /// Reads `*.json` of a folder, in order of their names.
    pub(super) fn load(folder: &Path) -> Result<Self, BulkError> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| BulkError::read(folder, error))?;
        let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        if files.is_empty() {
            return Err(BulkError::BadInput(format!("there is no model (`<projectId>.json`) in {}", folder.display())));
        }
        let mut loading = Loading::default();
        for file in &files {
            loading.file(file);
        }
        loading.finish()
    }

    /// Every version there is, by its place.
    pub(super) fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The place of the version that splits what the project earned at that instant.
    pub(super) fn in_force(&self, project: &[u8], as_of: Timestamp) -> Result<usize, NoVersion> {
        let versions = self.projects.get(project).or_else(|| {
            // A UUID may be spelled in upper case.
            let id: ProjectId = std::str::from_utf8(project).ok()?.parse().ok()?;
            self.projects.get(id.as_str().as_bytes())
        });
        let mut versions = versions.ok_or(NoVersion::ProjectUnknown)?.iter().copied();
        versions.find(|place| self.versions[*place].written.is_in_force(as_of)).ok_or(NoVersion::NoneInForce)
    }
}

/// What was read so far.
#[derive(Default)]
struct Loading {
    versions: Vec<(Version, String)>,
    faults: Vec<FileFault>,
    file: String,
}

impl Loading {
    fn fault(&mut self, pointer: impl Into<String>, code: impl Into<String>, message: impl Into<String>) {
        let (pointer, code, message) = (pointer.into(), code.into(), message.into());
        self.faults.push(FileFault { file: self.file.clone(), pointer, code, message });
    }

    fn file(&mut self, path: &Path) {
        self.file = path.display().to_string();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (project, number) = match stem.split_once('@') {
            Some((project, number)) => (project, Some(number.parse::<u32>().ok().filter(|number| *number > 0))),
            None => (&*stem, None),
        };
        if number == Some(None) {
            return self.fault("", "invalid_name", "what stands behind `@` must be the number of a version, such as 1");
        }
        let number = number.flatten();
        let Ok(project) = project.parse::<ProjectId>() else {
            return self.fault(
                "",
                "invalid_name",
                "a file is named after its project: `<projectId>.json`, or `<projectId>@<version>.json`",
            );
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) => return self.fault("", "unreadable", error.to_string()),
        };
        match json::parse(&text) {
            Ok(Node::List(list)) if number.is_none() => {
                for (at, node) in list.iter().enumerate() {
                    self.version(&project, u32::try_from(at + 1).ok(), &format!("/{at}"), node);
                }
            }
            Ok(node) => self.version(&project, number, "", &node),
            Err(error) => self.fault("", "malformed_json", error.to_string()),
        }
    }

    fn version(&mut self, project: &ProjectId, number: Option<u32>, at: &str, node: &Node<'_>) {
        let before = self.faults.len();
        let file = match ModelFile::read(node) {
            Ok(file) => file,
            Err(details) => {
                for Detail { code, field, message, .. } in details {
                    self.fault(format!("{at}{field}"), code, message);
                }
                return;
            }
        };
        self.envelope(project, number, at, &file);
        if file.status == ModelStatus::Draft {
            return;
        }
        let hash = file.spec.hash();
        if file.hash.is_some_and(|written| written != hash) {
            self.fault(format!("{at}/hash"), "mismatch", format!("the hash of this model is {hash}"));
        }
        let model = match file.spec.check() {
            Ok(model) => model,
            Err(faults) => {
                for fault in faults {
                    self.fault(format!("{at}{}", fault.pointer), fault.code.as_str(), fault.message);
                }
                return;
            }
        };
        let Ok(created_by) = "usr_cli".parse::<Requester>() else { return };
        if self.faults.len() == before {
            let written = ModelVersion {
                project: project.clone(),
                version: file.version.or(number).unwrap_or(1),
                status: ModelStatus::Active,
                effective_from: file.effective_from.unwrap_or(Timestamp::MIN),
                effective_to: file.effective_to,
                hash,
                spec: file.spec,
                created_by,
                created_at: Timestamp::MIN,
            };
            self.versions.push((Version { written, model }, self.file.clone()));
        }
    }

    /// What surrounds the model must fit to the name of the file, and make sense.
    fn envelope(&mut self, project: &ProjectId, number: Option<u32>, at: &str, file: &ModelFile) {
        if file.project.as_ref().is_some_and(|named| named != project) {
            self.fault(format!("{at}/projectId"), "mismatch", format!("the file is named after `{project}`"));
        }
        if at.is_empty() && number.is_some() && file.version.is_some() && file.version != number {
            self.fault(format!("{at}/version"), "mismatch", "this must be the number in the name of the file");
        }
        let from = file.effective_from.unwrap_or(Timestamp::MIN);
        if file.effective_to.is_some_and(|to| to <= from) {
            self.fault(format!("{at}/effectiveTo"), "out_of_range", "this must be later than `effectiveFrom`");
        }
    }

    fn finish(mut self) -> Result<Models, BulkError> {
        let mut projects: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        let mut versions: Vec<Version> = Vec::with_capacity(self.versions.len());
        for (version, file) in std::mem::take(&mut self.versions) {
            let known = projects.entry(version.written.project.as_str().into()).or_default();
            let number = version.written.version;
            if known.iter().any(|place| versions[*place].written.version == number) {
                self.file = file;
                self.fault("", "duplicate_version", format!("there is another version {number} of this project"));
            }
            known.push(versions.len());
            versions.push(version);
        }
        if !self.faults.is_empty() {
            return Err(BulkError::Models(self.faults));
        }
        for known in projects.values_mut() {
            known.sort_by_key(|place| std::cmp::Reverse(versions[*place].written.version));
        }
        Ok(Models { versions, projects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::revenue_model::ModelSpec;

    const SHARE: &str = r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_a","weight":1}]}]}"#;

    fn load(files: &[(&str, &str)]) -> Result<Models, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Models::load(folder.path()).map_err(|error| match error {
            BulkError::Models(faults) => faults
                .into_iter()
                .map(|fault| {
                    let name = Path::new(&fault.file).file_name().unwrap().to_string_lossy().into_owned();
                    format!("{name}{}:{}", fault.pointer, fault.code)
                })
                .collect(),
            other => vec![other.to_string()],
        })
    }
    fn found(models: &Models, project: &str, at: &str) -> Result<u32, NoVersion> {
        let place = models.in_force(project.as_bytes(), at.parse().unwrap())?;
        Ok(models.versions()[place].written.version)
    }
    fn with(fields: &str) -> String {
        SHARE.replacen('{', &format!("{{{fields},"), 1)
    }

    #[test]
    fn the_newest_version_that_covers_the_instant_is_in_force() {
        let list = format!(
            "[{},{},{}]",
            with(r#""effectiveFrom":"2026-01-01T00:00:00Z""#),
            with(r#""effectiveFrom":"2026-03-01T00:00:00Z","effectiveTo":"2026-04-01T00:00:00Z""#),
            with(r#""status":"draft""#),
        );
        let second = with(r#""effectiveFrom":"2026-02-01T00:00:00Z""#);
        let models = load(&[("prj_a.json", &list), ("prj_b@2.json", &second), ("prj_b@1.json", SHARE)]).unwrap();
        for (project, at, version) in [
            ("prj_a", "2025-12-31T23:59:59Z", Err(NoVersion::NoneInForce)),
            ("prj_a", "2026-01-01T00:00:00Z", Ok(1)),
            ("prj_a", "2026-03-01T00:00:00Z", Ok(2)),
            ("prj_a", "2026-04-01T00:00:00Z", Ok(1)),
            ("prj_b", "2026-01-31T23:59:59Z", Ok(1)),
            ("prj_b", "2026-02-01T00:00:00Z", Ok(2)),
            ("prj_c", "2026-02-01T00:00:00Z", Err(NoVersion::ProjectUnknown)),
        ] {
            assert_eq!(found(&models, project, at), version, "{project} {at}");
        }
    }

    #[test]
    fn an_answer_of_the_api_is_a_model_file() {
        let spec: ModelSpec = serde_json::from_str(SHARE).unwrap();
        let fields = format!(
            r#""projectId":"0110C853-1D09-52D8-D73E-1194E95B5F19","version":4,"status":"active","hash":"{}",
                "faults":[],"createdBy":"usr_1","createdAt":"2026-01-01T00:00:00Z""#,
            spec.hash()
        );
        let models = load(&[("0110c853-1d09-52d8-d73e-1194e95b5f19.json", &with(&fields))]).unwrap();
        for spelling in ["0110c853-1d09-52d8-d73e-1194e95b5f19", "0110C853-1D09-52D8-D73E-1194E95B5F19"] {
            assert_eq!(found(&models, spelling, "2026-01-01T00:00:00Z"), Ok(4));
        }
    }

    #[test]
    fn every_fault_of_every_file_is_told_at_once() {
        let faults = load(&[
            ("no id.json", SHARE),
            ("prj_a@x.json", SHARE),
            ("prj_b.json", "{"),
            ("prj_c.json", "[1]"),
            ("prj_d.json", &with(r#""version":0,"status":"old","effectiveFrom":"2026","hash":"x","nonsense":1"#)),
            ("prj_e@2.json", &with(r#""version":3"#)),
            (
                "prj_f.json",
                r#"{"steps":[{"type":"share","lines":[]},{"type":"share","lines":[{"recipientId":"rec_a","ppm":1}]}]}"#,
            ),
            ("prj_g.json", r#"{"steps":[{"type":"share","lines":7},{"type":"nothing"}],"currency":"usd"}"#),
            ("prj_h.json", SHARE),
            ("prj_h@1.json", SHARE),
            ("prj_i.json", &with(r#""effectiveFrom":"2026-02-01T00:00:00Z","effectiveTo":"2026-02-01T00:00:00Z""#)),
            ("prj_j.json", &with(&format!(r#""hash":"sha256:{}""#, "0".repeat(64)))),
            ("prj_k.json", &with(r#""projectId":"prj_l""#)),
            ("prj_l.json", &with(r#""currency":"USD","currency":"EUR""#)),
            ("notes.txt", "nothing of ours"),
        ])
        .unwrap_err();
        let expected = [
            "no id.json:invalid_name",
            "prj_a@x.json:invalid_name",
            "prj_b.json:malformed_json",
            "prj_c.json/0:wrong_type",
            "prj_d.json/effectiveFrom:invalid_format",
            "prj_d.json/hash:invalid_format",
            "prj_d.json/nonsense:unknown_field",
            "prj_d.json/status:invalid_format",
            "prj_d.json/version:out_of_range",
            "prj_e@2.json/version:mismatch",
            "prj_f.json/steps/0/lines:no_lines",
            "prj_f.json/steps/1:unreachable_step",
            "prj_f.json/steps/1/lines:share_sum_not_100",
            "prj_g.json/currency:currency_malformed",
            "prj_g.json/steps/0/lines:wrong_type",
            "prj_g.json/steps/1/type:invalid_format",
            "prj_i.json/effectiveTo:out_of_range",
            "prj_j.json/hash:mismatch",
            "prj_k.json/projectId:mismatch",
            "prj_l.json/currency:duplicate_key",
            "prj_h@1.json:duplicate_version",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_folder_without_models_is_a_fault() {
        assert!(load(&[("notes.txt", "")]).unwrap_err()[0].contains("there is no model"));
    }
}
