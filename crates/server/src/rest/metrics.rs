//! What is counted, for people and for scrapers.
#![expect(unused_qualifications, reason = "utoipa qualifies the types of parameters")]

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    envelope::{Envelope, Success},
    extract::Query,
    failure::Failure,
    metrics::{MetricsReport, Surroundings, TextFormat},
    state::AppState,
};

/// In which form the metrics are told.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MetricsQuery {
    /// `txt` for scrapers; otherwise `Accept` decides.
    #[param(inline, required = false, nullable = false)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// Text that Prometheus reads.
    Txt,
}

/// Tell what was counted
///
/// JSON by default; the Prometheus text format, or OpenMetrics, with `?format=txt` or when `Accept` asks for it.
#[utoipa::path(
    get, path = "/metrics", tag = "Metrics", operation_id = "readMetrics",
    params(MetricsQuery),
    responses((status = 200, description = "Everything that is counted, since the start of the process", content(
        (Envelope<MetricsReport> = "application/json"), (String = "text/plain"),
        (String = "application/openmetrics-text"),
    ))),
)]
pub(crate) async fn read(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(query): Query<MetricsQuery>,
) -> Result<Response, Failure> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let text = match query.format {
        Some(Format::Json) => None,
        Some(Format::Txt) => Some(asked_for(accept).unwrap_or(TextFormat::Prometheus)),
        None => asked_for(accept),
    };
    let metrics = Arc::clone(state.metrics());
    let backlog = metrics.backlog(state.engine()).await;
    let around = Surroundings {
        store_kind: state.store_kind(),
        cache: &state.cache().state(),
        backlog: backlog.as_ref(),
    };
    Ok(match text {
        Some(format) => {
            let kind = HeaderValue::from_static(format.media_type());
            ([(header::CONTENT_TYPE, kind)], metrics.text(format, &around)).into_response()
        }
        None => Success::ok(metrics.report(Some(&around))).into_response(),
    })
}

/// The text format that a scraper's `Accept` asks for; a browser's asks for none.
fn asked_for(accept: &str) -> Option<TextFormat> {
    let mut kinds = accept
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    kinds.find_map(|kind| match kind.to_ascii_lowercase().as_str() {
        "application/openmetrics-text" => Some(TextFormat::OpenMetrics),
        "text/plain" => Some(TextFormat::Prometheus),
        _ => None,
    })
}
