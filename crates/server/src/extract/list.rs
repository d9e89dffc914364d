//! The query of a list: which page, in which order, of which entries.

use axum::extract::FromRequestParts;
use engine::PageQuery;
use http::request::Parts;
use model::Sort;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{Limit, decode, query};
use crate::{
    failure::Failure,
    field::{self, schema},
    state::AppState,
};

/// The parameters that every list has.
const OF_EVERY_LIST: [&str; 3] = ["limit", "cursor", "sort"];

/// The query of a list that is sorted by `O` and filtered by `F`.
#[derive(Debug)]
pub(crate) struct ListQuery<O: ToSchema, F = NoFilter> {
    page: PageParams<O>,
    filter: F,
}

/// The filter of a list that has none.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilter {}

/// Which page of a list, and in what order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageParams<O: ToSchema> {
    #[serde(default)]
    #[param(schema_with = schema::page_limit, required = false)]
    limit: Limit,
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::cursor, required = false)]
    cursor: Option<String>,
    #[serde(default)]
    #[param(inline, required = false)]
    sort: O,
}

impl<O: ToSchema, F> ListQuery<O, F> {
    /// What a verb takes: the filter, and the page.
    pub(crate) fn split<S>(self) -> (F, PageQuery<S>)
    where
        O: Into<Sort<S>>,
    {
        let page = PageQuery {
            limit: self.page.limit.0,
            sort: self.page.sort.into(),
            cursor: self.page.cursor,
        };
        (self.filter, page)
    }
}

impl<O, F> FromRequestParts<AppState> for ListQuery<O, F>
where
    O: DeserializeOwned + Default + ToSchema,
    F: DeserializeOwned,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Failure> {
        let pairs = query::pairs(parts.uri.query().unwrap_or_default())?;
        let (page, filter): (Vec<_>, Vec<_>) = pairs
            .into_iter()
            .partition(|(name, _)| OF_EVERY_LIST.contains(&name.as_str()));
        Ok(Self {
            page: decode::from_pairs(page, &[])?,
            filter: decode::from_pairs(filter, &OF_EVERY_LIST)?,
        })
    }
}

impl<O: ToSchema, F: IntoParams> IntoParams for ListQuery<O, F> {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = PageParams::<O>::into_params(&place);
        all.extend(F::into_params(&place));
        all
    }
}
