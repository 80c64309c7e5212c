//! Values as `PostgreSQL` takes them. What SeaORM gives the driver knows no NULL in an array: this does.

use sea_orm::{
    DbErr, Value,
    prelude::Uuid,
    sea_query::ArrayType,
    sqlx::{Arguments, error::BoxDynError, postgres::PgArguments},
};

/// Values of one type as one array, and what `PostgreSQL` calls the type.
pub(super) fn array(values: Vec<Value>) -> Result<(&'static str, Value), DbErr> {
    let (of, kind) = match values.first() {
        Some(Value::BigInt(_)) => ("bigint", ArrayType::BigInt),
        Some(Value::Bool(_)) => ("boolean", ArrayType::Bool),
        Some(Value::Uuid(_)) => ("uuid", ArrayType::Uuid),
        Some(Value::Bytes(_)) => ("bytea", ArrayType::Bytes),
        Some(Value::String(_)) | None => ("text", ArrayType::String),
        Some(other) => return Err(DbErr::Type(format!("there is no array of {other:?}"))),
    };
    Ok((of, Value::Array(kind, Some(Box::new(values)))))
}

/// The values of a statement.
pub(super) fn arguments(values: Vec<Value>) -> Result<PgArguments, BoxDynError> {
    let mut arguments = PgArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        match value {
            Value::BigInt(number) => arguments.add(number),
            Value::Bool(flag) => arguments.add(flag),
            Value::Uuid(id) => arguments.add(id),
            Value::Bytes(bytes) => arguments.add(bytes),
            Value::String(text) => arguments.add(text),
            Value::Array(kind, Some(values)) => add_array(&mut arguments, &kind, *values),
            other => Err(unknown(&other)),
        }?;
    }
    Ok(arguments)
}

fn add_array(arguments: &mut PgArguments, kind: &ArrayType, values: Vec<Value>) -> Result<(), BoxDynError> {
    let values = values.into_iter();
    match kind {
        ArrayType::BigInt => {
            let number = |value| if let Value::BigInt(number) = value { Ok(number) } else { Err(unknown(&value)) };
            arguments.add(values.map(number).collect::<Result<Vec<Option<i64>>, _>>()?)
        }
        ArrayType::Bool => {
            let flag = |value| if let Value::Bool(flag) = value { Ok(flag) } else { Err(unknown(&value)) };
            arguments.add(values.map(flag).collect::<Result<Vec<Option<bool>>, _>>()?)
        }
        ArrayType::Uuid => {
            let id = |value| if let Value::Uuid(id) = value { Ok(id) } else { Err(unknown(&value)) };
            arguments.add(values.map(id).collect::<Result<Vec<Option<Uuid>>, _>>()?)
        }
        ArrayType::Bytes => {
            let bytes = |value| if let Value::Bytes(bytes) = value { Ok(bytes) } else { Err(unknown(&value)) };
            arguments.add(values.map(bytes).collect::<Result<Vec<Option<Vec<u8>>>, _>>()?)
        }
        ArrayType::String => {
            let text = |value| if let Value::String(text) = value { Ok(text) } else { Err(unknown(&value)) };
            arguments.add(values.map(text).collect::<Result<Vec<Option<String>>, _>>()?)
        }
        other => Err(format!("there is no array of {other:?}").into()),
    }
}

fn unknown(value: &Value) -> BoxDynError {
    format!("{value:?} is not what is expected here").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_of_one_type_and_may_have_nothing_in_it_or_in_a_place() {
        let known = [
            (vec![Value::BigInt(None), 7_i64.into()], "bigint"),
            (vec![true.into(), Value::Bool(None)], "boolean"),
            (vec![Value::Uuid(None), Uuid::from_u128(7).into()], "uuid"),
            (vec![vec![0_u8, 255].into(), Value::Bytes(None)], "bytea"),
            (vec!["a\"b\\c, {}".into(), Value::String(None)], "text"),
            (vec![], "text"),
        ];
        for (values, expected) in known {
            let (of, array) = array(values).unwrap();
            assert_eq!(of, expected);
            assert_eq!(arguments(vec![array, "beside it".into()]).unwrap().len(), 2);
        }
        assert!(array(vec![0.5.into()]).is_err());
        for mixed in [vec![Value::from(1_i64), true.into()], vec![true.into(), "true".into()]] {
            assert!(arguments(vec![array(mixed).unwrap().1]).is_err());
        }
    }

    #[test]
    fn a_value_of_a_type_that_no_column_has_is_refused() {
        assert!(arguments(vec![0.5.into()]).is_err());
        assert!(arguments(vec![Value::BigInt(None), Value::String(None)]).is_ok());
    }
}
