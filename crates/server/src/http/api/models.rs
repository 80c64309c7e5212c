//! A project's revenue model: `PUT` stores a version, `GET` reads them.

use super::{Tag, actions::actor, model_body::ModelBody, there, values::Facts};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fault::Fault,
        page::{AfterParam, LimitParam, Page, page_of},
        params::PathParam,
        payload::{Body, Js},
        problem::{Answer, ApiError},
        responses::responses,
        roles::may,
        scalars::{Sc, Scalar},
        shown::Shown,
    },
};
use app::{
    ports::repository::InForce,
    revenue::publish_revenue_model::{PublishRevenueModel, Published, publish_revenue_model},
};
use domain::{
    currency::Currency,
    ids::{ProjectId, Requester},
    revenue_model::{
        Fault as ModelFault, ModelHash, ModelSpec, ModelStatus, ModelVersion,
        spec::{FeeSpec, SettlementSpec, StepSpec, TieBreak},
    },
    tax::TaxProfile,
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi, registry::MetaSchema};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// The number of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionNumber(u32);

impl Scalar for VersionNumber {
    const NAME: &'static str = "ModelVersionNumber";
    const TYPE: &'static str = "integer";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("1, 2, 3 and so on within a project.");
        schema.minimum = Some(1.0);
        schema.maximum = Some(f64::from(i32::MAX));
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        let digits = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number: &u32| digits && (1..=i32::MAX.unsigned_abs()).contains(number));
        number.map(Self).ok_or_else(|| Fault::invalid_format("This must be the number of a version, such as 1."))
    }
    fn wire(&self) -> Value {
        self.0.into()
    }
}

/// A version of a project's model. It never changes.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "RevenueModelVersion", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    project_id: Sc<ProjectId>,
    version: u32,
    status: Sc<ModelStatus>,
    effective_from: Sc<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_to: Option<Sc<Timestamp>>,
    /// SHA-256 of these fields of this answer, as they stand here and as far as they are here, in one object with sorted
    /// keys and no white space: `currency`, `defaultTaxProfile`, `minUnitPerLine`, `platformFee`, `settlement`, `steps`,
    /// `tieBreak`.
    hash: Sc<ModelHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Sc<Currency>>,
    tie_break: Sc<TieBreak>,
    /// Absent means `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_unit_per_line: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_fee: Option<Shown<FeeSpec>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_tax_profile: Option<Shown<TaxProfile>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<Shown<SettlementSpec>>,
    steps: Vec<Shown<StepSpec>>,
    /// What is wrong with a draft.
    faults: Vec<FaultView>,
    created_by: Sc<Requester>,
    created_at: Sc<Timestamp>,
}

/// A fault of a draft.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ModelFault")]
pub struct FaultView {
    code: String,
    /// JSON pointer into the model.
    field: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Facts>,
}

impl From<ModelFault> for FaultView {
    fn from(fault: ModelFault) -> Self {
        Self {
            code: fault.code.as_str().to_owned(),
            field: fault.pointer,
            message: fault.message,
            meta: fault.meta.map(Facts),
        }
    }
}

impl From<ModelVersion> for VersionView {
    fn from(version: ModelVersion) -> Self {
        let faults = version.model().err().unwrap_or_default();
        let ModelVersion { project, version, status, effective_from, effective_to, spec, hash, created_by, created_at } =
            version;
        let ModelSpec { steps, currency, tie_break, min_unit_per_line, platform_fee, default_tax_profile, settlement } =
            spec;
        Self {
            project_id: Sc(project),
            version,
            status: Sc(status),
            effective_from: Sc(effective_from),
            effective_to: effective_to.map(Sc),
            hash: Sc(hash),
            currency: currency.map(Sc),
            tie_break: Sc(tie_break),
            min_unit_per_line: min_unit_per_line.then_some(true),
            platform_fee: platform_fee.map(Shown),
            default_tax_profile: default_tax_profile.map(Shown),
            settlement: settlement.map(Shown),
            steps: steps.into_iter().map(Shown).collect(),
            faults: faults.into_iter().map(FaultView::from).collect(),
            created_by: Sc(created_by),
            created_at: Sc(created_at),
        }
    }
}

responses! {
    /// Answers of `PUT /projects/{projectId}/revenue-model`.
    PutAnswer {
        /// A new version is stored.
        201 Created(Js<VersionView>, "Location" location: String),
        /// The newest version is the same.
        200 Same(Js<VersionView>),
    }
    errors [Conflict]
}

responses! {
    /// Answers of the reads of one version.
    GetAnswer {
        /// The version.
        200 Found(Js<VersionView>),
    }
    errors [NotFound]
}

responses! {
    /// Answers of `GET /projects/{projectId}/revenue-models`.
    ListAnswer {
        /// The versions, newest first.
        200 Listed(Js<Page<VersionView>>),
    }
    errors [NotFound]
}

/// The endpoints of this file.
pub struct Models(pub(super) Arc<Service>);

#[OpenApi]
impl Models {
    /// Store a project's revenue model
    ///
    /// Stores a new, immutable version; the same model again is the same version. The first one makes the project
    /// known. A model with faults is refused with all of them, or stored if its `status` is `draft`.
    #[oai(
        path = "/projects/:projectId/revenue-model",
        method = "put",
        operation_id = "putRevenueModel",
        tag = "Tag::Models"
    )]
    async fn put(
        &self,
        auth: Auth<may::PublishModel>,
        body: Body<ModelBody>,
        #[oai(name = "projectId")] project_id: PathParam<Sc<ProjectId>>,
    ) -> Answer<PutAnswer> {
        let service = &self.0;
        let project = project_id.0.0;
        let body = body.0;
        if let Some(other) = body.project_id.as_ref().filter(|given| given.0 != project) {
            let message = format!("This must be `{project}` as in the path, not `{}`.", other.0);
            return Err(ApiError::validation(vec![Fault::new("mismatch", message).at("/projectId")]));
        }
        let ask = PublishRevenueModel {
            project,
            version: body.version,
            status: body.status.map_or(ModelStatus::Active, |status| status.0),
            effective_from: body.effective_from.map(|at| at.0),
            effective_to: body.effective_to.map(|at| at.0),
            spec: body.spec(),
            actor: actor(&auth.0, None),
        };
        let now = service.now().await?;
        let Published { version, new, faults: _ } =
            publish_revenue_model(service.repository.as_ref(), service.ids.as_ref(), now, ask).await?;
        let location = format!("/projects/{}/revenue-models/{}", version.project, version.version);
        let view = Js(VersionView::from(version));
        Ok(if new { PutAnswer::Created(view, location) } else { PutAnswer::Same(view) })
    }

    /// Read a project's current revenue model
    ///
    /// The version in force now; if there is none, the newest version.
    #[oai(
        path = "/projects/:projectId/revenue-model",
        method = "get",
        operation_id = "getRevenueModel",
        tag = "Tag::Models"
    )]
    async fn current(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "projectId")] project_id: PathParam<Sc<ProjectId>>,
    ) -> Answer<GetAnswer> {
        let service = &self.0;
        let project = project_id.0.0;
        let version = match service.repository.model_in_force(&project, service.now().await?).await? {
            InForce::Version(version) => Some(*version),
            InForce::Nothing | InForce::ProjectUnknown => service.repository.newest_model(&project).await?,
        };
        let view = there(version.map(VersionView::from), "project", "project_not_found", project)?;
        Ok(GetAnswer::Found(view))
    }

    /// List the versions of a project's revenue model
    ///
    /// Newest first; `starting_after` takes the number of the last version of the page before.
    #[oai(
        path = "/projects/:projectId/revenue-models",
        method = "get",
        operation_id = "listRevenueModels",
        tag = "Tag::Models"
    )]
    async fn list(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "projectId")] project_id: PathParam<Sc<ProjectId>>,
        limit: LimitParam,
        starting_after: AfterParam<VersionNumber>,
    ) -> Answer<ListAnswer> {
        let (project, page) = (project_id.0.0, page_of(limit, starting_after).map(|after| after.0));
        let versions = self.0.queries.models(&project, page).await?;
        if versions.data.is_empty() {
            // The page after the oldest version is empty; a project without any version is not known.
            let newest = self.0.repository.newest_model(&project).await?;
            there(newest, "project", "project_not_found", project)?;
        }
        Ok(ListAnswer::Listed(Js(versions.map(VersionView::from).into())))
    }

    /// Read one version of a project's revenue model
    ///
    /// A version never changes.
    #[oai(
        path = "/projects/:projectId/revenue-models/:version",
        method = "get",
        operation_id = "getRevenueModelVersion",
        tag = "Tag::Models"
    )]
    async fn version(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "projectId")] project_id: PathParam<Sc<ProjectId>>,
        version: PathParam<Sc<VersionNumber>>,
    ) -> Answer<GetAnswer> {
        let (project, number) = (project_id.0.0, version.0.0.0);
        let found = self.0.queries.model(&project, number).await?;
        let id = format!("{project}/{number}");
        Ok(GetAnswer::Found(there(found.map(VersionView::from), "version", "model_version_not_found", id)?))
    }
}
