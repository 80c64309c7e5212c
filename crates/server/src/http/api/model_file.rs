//! A model in a file: a body that one would send, or an answer that one has kept.

use super::model_body::ModelBody;
use crate::http::{
    fields::{Fields, read},
    json::Node,
    payload::FromBody,
    scalars::Sc,
};
use app::failure::Detail;
use domain::{
    ids::ProjectId,
    revenue_model::{ModelHash, ModelSpec, ModelStatus},
    timestamp::Timestamp,
};

/// A version of a project's model as a file tells it.
#[derive(Debug)]
pub struct ModelFile {
    /// Whose it is, if the file says so.
    pub project: Option<ProjectId>,
    /// Which version it is, if the file says so.
    pub version: Option<u32>,
    /// Active, unless the file says otherwise.
    pub status: ModelStatus,
    /// First instant at which money is earned under it.
    pub effective_from: Option<Timestamp>,
    /// First instant at which it no longer is.
    pub effective_to: Option<Timestamp>,
    /// The hash of the model, if the file says so.
    pub hash: Option<ModelHash>,
    /// The model. Whether it adds up is another matter.
    pub spec: ModelSpec,
}

impl ModelFile {
    /// Reads what was parsed.
    ///
    /// # Errors
    /// Everything that is missing, unknown or of a wrong type.
    pub fn read(document: &Node<'_>) -> Result<Self, Vec<Detail>> {
        read(document, Vec::new(), Self::fields)
    }

    fn fields(fields: &mut Fields<'_>) -> Option<Self> {
        let hash = fields.optional("hash", Sc::read);
        // What an answer says beside that is of no use here.
        for name in ["faults", "createdBy", "createdAt"] {
            let _ = fields.optional(name, |_| Some(()));
        }
        let body = ModelBody::read(fields)?;
        Some(Self {
            hash: hash?.map(|hash| hash.0),
            project: body.project_id.as_ref().map(|project| project.0.clone()),
            version: body.version,
            status: body.status.as_ref().map_or(ModelStatus::Active, |status| status.0),
            effective_from: body.effective_from.as_ref().map(|at| at.0),
            effective_to: body.effective_to.as_ref().map(|at| at.0),
            spec: body.spec(),
        })
    }
}
