// The messages of ONNX that a network for inference needs: names, types and field numbers of the ONNX specification
// (github.com/onnx/onnx, onnx/onnx.proto); fields that nothing here writes are left out. Readers accept files without them.

import protobuf from 'protobufjs'

const messages = `
syntax = "proto2";
package onnx;

message AttributeProto {
  enum AttributeType { UNDEFINED = 0; FLOAT = 1; INT = 2; STRING = 3; TENSOR = 4; FLOATS = 6; INTS = 7; }
  optional string name = 1;
  optional float f = 2;
  optional int64 i = 3;
  repeated int64 ints = 8;
  optional AttributeType type = 20;
}
message NodeProto {
  repeated string input = 1;
  repeated string output = 2;
  optional string name = 3;
  optional string op_type = 4;
  repeated AttributeProto attribute = 5;
}
message TensorProto {
  repeated int64 dims = 1;
  optional int32 data_type = 2;
  optional string name = 8;
  optional bytes raw_data = 9;
}
message TensorShapeProto {
  message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } }
  repeated Dimension dim = 1;
}
message TypeProto {
  message Tensor { optional int32 elem_type = 1; optional TensorShapeProto shape = 2; }
  oneof value { Tensor tensor_type = 1; }
}
message ValueInfoProto {
  optional string name = 1;
  optional TypeProto type = 2;
}
message GraphProto {
  repeated NodeProto node = 1;
  optional string name = 2;
  repeated TensorProto initializer = 5;
  repeated ValueInfoProto input = 11;
  repeated ValueInfoProto output = 12;
}
message OperatorSetIdProto {
  optional string domain = 1;
  optional int64 version = 2;
}
message StringStringEntryProto {
  optional string key = 1;
  optional string value = 2;
}
message ModelProto {
  optional int64 ir_version = 1;
  optional string producer_name = 2;
  optional GraphProto graph = 7;
  repeated OperatorSetIdProto opset_import = 8;
  repeated StringStringEntryProto metadata_props = 14;
}
`

/** `TensorProto.DataType`. */
const dataTypes = { float: 1, int64: 7 } as const
type DataType = keyof typeof dataTypes

/** `AttributeProto.AttributeType`. */
const attributeTypes = { float: 1, int: 2, ints: 7 } as const

type Attribute =
  | { readonly name: string; readonly type: typeof attributeTypes.float; readonly f: number }
  | { readonly name: string; readonly type: typeof attributeTypes.int; readonly i: number }
  | { readonly name: string; readonly type: typeof attributeTypes.ints; readonly ints: readonly number[] }

type Node = {
  readonly op_type: string
  readonly name: string
  readonly input: readonly string[]
  readonly output: readonly string[]
  readonly attribute: readonly Attribute[]
}

type Tensor = {
  readonly name: string
  readonly dims: readonly number[]
  readonly data_type: number
  /** Little-endian, row-major. */
  readonly raw_data: Uint8Array
}

type Dimension = { readonly dim_value: number } | { readonly dim_param: string }

type ValueInfo = {
  readonly name: string
  readonly type: { readonly tensor_type: { readonly elem_type: number; readonly shape: { readonly dim: readonly Dimension[] } } }
}

type Model = {
  readonly ir_version: number
  readonly producer_name: string
  readonly graph: {
    readonly name: string
    readonly node: readonly Node[]
    readonly initializer: readonly Tensor[]
    readonly input: readonly ValueInfo[]
    readonly output: readonly ValueInfo[]
  }
  readonly opset_import: readonly { readonly domain: string; readonly version: number }[]
  readonly metadata_props: readonly { readonly key: string; readonly value: string }[]
}

const modelType = protobuf.parse(messages, { keepCase: true }).root.lookupType('onnx.ModelProto')

function encodeModel(model: Model): Uint8Array {
  return modelType.encode(modelType.fromObject(model)).finish()
}

export {
  type Attribute,
  attributeTypes,
  type DataType,
  dataTypes,
  type Dimension,
  encodeModel,
  type Model,
  type Node,
  type Tensor,
  type ValueInfo,
}
