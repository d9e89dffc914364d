//! What the actions are, for people and agents.

use std::time::Duration;

use model::{Action, ActionName, Annotations, Result, ResultForm, Span};
use serde_json::{Map, Value, json};

use super::{MAX_FIELD_CHARS, MAX_FIELDS, MAX_NUMBERS, MAX_ROWS, MAX_STEPS, aggregate, schema, summary};

/// Longer than the largest payload takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn process() -> Result<Action> {
    let names = summary::Operation::ALL.map(summary::Operation::as_str);
    let input = json!({
        "data": {
            "type": "array",
            "items": { "type": "number" },
            "minItems": 1,
            "maxItems": MAX_NUMBERS,
            "description": "The numbers.",
        },
        "operations": {
            "type": "array",
            "items": { "enum": names },
            "minItems": 1,
            "maxItems": names.len(),
            "uniqueItems": true,
            "description": "What to compute; everything when left out.",
        },
    });
    let examples = json!([
        { "data": [2, 4, 4, 4, 5, 5, 7, 9] },
        { "data": [1.5, 2.5], "operations": ["mean", "max"] },
    ]);
    Ok(Action {
        name: ActionName::parse("process")?,
        title: "Statistics of numbers".into(),
        description: "Computes count, sum, mean, median, minimum, maximum, standard deviation, variance and \
                      percentiles of a list of numbers. standardDeviation and variance take the numbers as a \
                      whole population, sampleStandardDeviation as a sample (null for a single number). \
                      Percentiles lie between two numbers in proportion, as in spreadsheets."
            .into(),
        input_schema: schema::input(&input, &["data"], examples),
        output_schema: Some(statistics_schema()),
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: TIMEOUT,
    })
}

fn statistics_schema() -> Value {
    let number = json!({ "type": "number" });
    let mut percentiles = Map::new();
    for (name, _) in summary::PERCENTILES {
        percentiles.insert(name.to_owned(), number.clone());
    }
    let names = summary::PERCENTILES.map(|(name, _)| name);
    let mut properties = Map::new();
    for operation in summary::Operation::ALL {
        let result = match operation {
            summary::Operation::Count => json!({ "type": "integer", "minimum": 1 }),
            summary::Operation::SampleStandardDeviation => {
                json!({ "type": ["number", "null"], "minimum": 0 })
            }
            summary::Operation::StandardDeviation | summary::Operation::Variance => {
                json!({ "type": "number", "minimum": 0 })
            }
            summary::Operation::Percentiles => schema::object(&Value::Object(percentiles.clone()), &names),
            summary::Operation::Sum
            | summary::Operation::Mean
            | summary::Operation::Median
            | summary::Operation::Min
            | summary::Operation::Max => number.clone(),
        };
        properties.insert(operation.as_str().to_owned(), result);
    }
    schema::whole(&Value::Object(properties), &[])
}

pub(super) fn transform() -> Result<Action> {
    let input = json!({
        "rows": rows("The rows, as objects; they need not have the same fields."),
        "operations": {
            "type": "array",
            "items": { "oneOf": steps() },
            "minItems": 1,
            "maxItems": MAX_STEPS,
            "description": "The steps, done one after the other. A missing field counts as null.",
        },
    });
    let examples = json!([{
        "rows": [
            { "item": "pen", "price": 2, "count": 10 },
            { "item": "ink", "price": 8.5, "count": 2 },
            { "item": "pad", "price": 3, "count": 0 },
        ],
        "operations": [
            { "operation": "filter", "field": "count", "comparison": "greaterThan", "value": 0 },
            { "operation": "derive", "field": "total", "left": "price", "operator": "multiply", "right": "count" },
            { "operation": "sort", "field": "total", "direction": "descending" },
            { "operation": "select", "fields": ["item", "total"] },
            { "operation": "limit", "count": 1 },
        ],
    }]);
    let output = json!({
        "count": { "type": "integer", "minimum": 0, "maximum": MAX_ROWS, "description": "How many rows are left." },
        "rows": rows("The rows after the last step."),
    });
    Ok(Action {
        name: ActionName::parse("transform")?,
        title: "Transform rows".into(),
        description: "Filters, sorts, limits and reshapes rows (select, rename), and derives fields by \
                      arithmetic, in the order of the operations."
            .into(),
        input_schema: schema::input(&input, &["rows", "operations"], examples),
        output_schema: Some(schema::whole(&output, &["count", "rows"])),
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: TIMEOUT,
    })
}

fn steps() -> Vec<Value> {
    let step = |name: &str, properties: Value, required: &[&str]| {
        let mut all = Map::new();
        all.insert("operation".to_owned(), json!({ "const": name }));
        if let Value::Object(properties) = properties {
            all.extend(properties);
        }
        let required: Vec<&str> = std::iter::once("operation")
            .chain(required.iter().copied())
            .collect();
        schema::object(&Value::Object(all), &required)
    };
    let operand = || {
        let described = "A number, or the name of a field.";
        json!({ "type": ["number", "string"], "maxLength": MAX_FIELD_CHARS, "description": described })
    };
    let whole = |maximum: usize| json!({ "type": "integer", "minimum": 0, "maximum": maximum });
    vec![
        step(
            "select",
            json!({ "fields": fields("The fields to keep, in this order.", 1, MAX_FIELDS) }),
            &["fields"],
        ),
        step(
            "rename",
            json!({ "from": field("The field."), "to": field("Its new name.") }),
            &["from", "to"],
        ),
        filter_step(&step),
        step(
            "sort",
            json!({
                "field": field("The field to sort by. Equal rows keep their order; null comes last."),
                "direction": { "enum": ["ascending", "descending"], "default": "ascending" },
            }),
            &["field"],
        ),
        step(
            "limit",
            json!({ "count": whole(MAX_ROWS), "offset": whole(MAX_ROWS) }),
            &["count"],
        ),
        step(
            "derive",
            json!({
                "field": field("The field to set: null where an operand is no number, or the divisor is zero."),
                "left": operand(),
                "operator": { "enum": ["add", "subtract", "multiply", "divide"] },
                "right": operand(),
            }),
            &["field", "left", "operator", "right"],
        ),
    ]
}

fn filter_step(step: &impl Fn(&str, Value, &[&str]) -> Value) -> Value {
    let comparisons = [
        "equals",
        "notEquals",
        "lessThan",
        "atMost",
        "greaterThan",
        "atLeast",
        "in",
        "contains",
        "exists",
    ];
    let value = "What to compare with: a list for in; a part of a text or an element of a list for contains; \
                 true (default) or false for exists; a number or text for comparisons by size.";
    let properties = json!({
        "field": field("The field to look at."),
        "comparison": { "enum": comparisons },
        "value": { "description": value },
    });
    step("filter", properties, &["field", "comparison"])
}

pub(super) fn aggregate() -> Result<Action> {
    let names = aggregate::Operation::ALL.map(aggregate::Operation::as_str);
    let aggregation = json!({
        "operation": { "enum": names },
        "field": field("The field to compute over; may be left out for count, which then counts rows."),
        "as": field("The name of the result; <operation>_<field> when left out."),
    });
    let input = json!({
        "rows": rows("The rows, as objects."),
        "groupBy": fields("The fields whose equal values make a group; all rows are one group without.", 0, 10),
        "aggregations": {
            "type": "array",
            "items": schema::object(&aggregation, &["operation"]),
            "minItems": 1,
            "maxItems": MAX_STEPS,
            "description": "What to compute over each group. Null and missing values are passed over.",
        },
    });
    let examples = json!([{
        "rows": [
            { "team": "red", "points": 3 },
            { "team": "blue", "points": 1 },
            { "team": "red", "points": 5 },
        ],
        "groupBy": ["team"],
        "aggregations": [
            { "operation": "count" },
            { "operation": "sum", "field": "points", "as": "total" },
        ],
    }]);
    let output = json!({
        "count": { "type": "integer", "minimum": 0, "maximum": MAX_ROWS, "description": "How many groups there are." },
        "groups": rows("One row for each group, in the order of their first rows."),
    });
    Ok(Action {
        name: ActionName::parse("aggregate")?,
        title: "Aggregate rows".into(),
        description: "Groups rows by fields and computes count, countDistinct, sum, mean, median, min, max, \
                      standardDeviation (population) or variance over each group."
            .into(),
        input_schema: schema::input(&input, &["rows", "aggregations"], examples),
        output_schema: Some(schema::whole(&output, &["count", "groups"])),
        result_form: ResultForm::Value,
        annotations: Annotations::PURE,
        span: Span::Short,
        timeout: TIMEOUT,
    })
}

fn field(description: &str) -> Value {
    json!({ "type": "string", "maxLength": MAX_FIELD_CHARS, "description": description })
}

fn fields(description: &str, min: usize, max: usize) -> Value {
    json!({
        "type": "array",
        "items": { "type": "string", "maxLength": MAX_FIELD_CHARS },
        "minItems": min,
        "maxItems": max,
        "uniqueItems": true,
        "description": description,
    })
}

fn rows(description: &str) -> Value {
    json!({
        "type": "array",
        "items": { "type": "object" },
        "maxItems": MAX_ROWS,
        "description": description,
    })
}
