// The messages of ONNX's protobuf schema (onnx/onnx.proto) with the fields that are written here. A reader
// that knows the whole schema reads them, since protobuf tells fields apart by number.

import protobuf from 'protobufjs'

/** TensorProto.DataType. */
const dataTypes = { float: 1, uint8: 2, uint16: 4, int64: 7 } as const
/** AttributeProto.AttributeType. */
const attributeTypes = { float: 1, int: 2, ints: 7 } as const

const repeated = (type: string, id: number) => ({ rule: 'repeated', type, id })

const root = protobuf.Root.fromJSON({
  nested: {
    onnx: {
      nested: {
        ModelProto: {
          fields: {
            irVersion: { type: 'int64', id: 1 },
            producerName: { type: 'string', id: 2 },
            docString: { type: 'string', id: 6 },
            graph: { type: 'GraphProto', id: 7 },
            opsetImport: repeated('OperatorSetIdProto', 8),
            metadataProps: repeated('StringStringEntryProto', 14),
          },
        },
        OperatorSetIdProto: { fields: { domain: { type: 'string', id: 1 }, version: { type: 'int64', id: 2 } } },
        StringStringEntryProto: { fields: { key: { type: 'string', id: 1 }, value: { type: 'string', id: 2 } } },
        GraphProto: {
          fields: {
            node: repeated('NodeProto', 1),
            name: { type: 'string', id: 2 },
            initializer: repeated('TensorProto', 5),
            input: repeated('ValueInfoProto', 11),
            output: repeated('ValueInfoProto', 12),
          },
        },
        NodeProto: {
          fields: {
            input: repeated('string', 1),
            output: repeated('string', 2),
            name: { type: 'string', id: 3 },
            opType: { type: 'string', id: 4 },
            attribute: repeated('AttributeProto', 5),
          },
        },
        AttributeProto: {
          fields: {
            name: { type: 'string', id: 1 },
            f: { type: 'float', id: 2 },
            i: { type: 'int64', id: 3 },
            ints: repeated('int64', 8),
            type: { type: 'int32', id: 20 },
          },
        },
        TensorProto: {
          fields: {
            dims: repeated('int64', 1),
            dataType: { type: 'int32', id: 2 },
            name: { type: 'string', id: 8 },
            rawData: { type: 'bytes', id: 9 },
          },
        },
        ValueInfoProto: { fields: { name: { type: 'string', id: 1 }, type: { type: 'TypeProto', id: 2 } } },
        TypeProto: { fields: { tensorType: { type: 'TensorTypeProto', id: 1 } } },
        // Nested in TypeProto in the published schema; the name of a message is not written.
        TensorTypeProto: { fields: { elemType: { type: 'int32', id: 1 }, shape: { type: 'TensorShapeProto', id: 2 } } },
        TensorShapeProto: { fields: { dim: repeated('DimensionProto', 1) } },
        DimensionProto: { fields: { dimValue: { type: 'int64', id: 1 }, dimParam: { type: 'string', id: 2 } } },
      },
    },
  },
})

type AttributeValue =
  | { readonly type: typeof attributeTypes.float; readonly f: number }
  | { readonly type: typeof attributeTypes.int; readonly i: number }
  | { readonly type: typeof attributeTypes.ints; readonly ints: readonly number[] }
type OnnxAttribute = { readonly name: string } & AttributeValue

type OnnxNode = {
  readonly name: string
  readonly opType: string
  readonly input: readonly string[]
  readonly output: readonly string[]
  readonly attribute: readonly OnnxAttribute[]
}

/** `rawData`: row-major, little-endian. */
type OnnxTensor = { readonly name: string; readonly dims: readonly number[]; readonly dataType: number; readonly rawData: Uint8Array }

type OnnxValueInfo = {
  readonly name: string
  readonly type: {
    readonly tensorType: {
      readonly elemType: number
      readonly shape: { readonly dim: readonly ({ readonly dimValue: number } | { readonly dimParam: string })[] }
    }
  }
}

type OnnxModel = {
  readonly irVersion: number
  readonly producerName: string
  readonly docString?: string
  readonly opsetImport: readonly { readonly domain: string; readonly version: number }[]
  readonly metadataProps: readonly { readonly key: string; readonly value: string }[]
  readonly graph: {
    readonly name: string
    readonly node: readonly OnnxNode[]
    readonly initializer: readonly OnnxTensor[]
    readonly input: readonly OnnxValueInfo[]
    readonly output: readonly OnnxValueInfo[]
  }
}

function encodeOnnx(model: OnnxModel): Uint8Array {
  return root.lookupType('onnx.ModelProto').encode(model).finish()
}

export { attributeTypes, dataTypes, encodeOnnx, type OnnxAttribute, type OnnxNode, type OnnxTensor, type OnnxValueInfo }
