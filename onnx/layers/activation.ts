import type { InferenceStep, StepKind } from '../../engine/executor/index.ts'
import type { Activation } from '../../search-space/layers/activation.ts'
import { float, type OnnxWriter } from '../writer.ts'
import { inputNames, type OnnxRule } from './rule.ts'

const nodes: { readonly [Name in Activation]: (writer: OnnxWriter, name: string, input: string, output: string) => void } = {
  relu: (writer, name, input, output) => void writer.node('Relu', name, [input], output),
  relu6(writer, name, input, output) {
    const bounds = [writer.floats('relu6/min', [], Float32Array.of(0)), writer.floats('relu6/max', [], Float32Array.of(6))]
    writer.node('Clip', name, [input, ...bounds], output)
  },
  swish(writer, name, input, output) {
    const share = writer.node('Sigmoid', `${name}/sigmoid`, [input], `${name}/sigmoid`)
    writer.node('Mul', name, [input, share], output)
  },
  hardSwish: (writer, name, input, output) => void writer.node('HardSwish', name, [input], output),
  sigmoid: (writer, name, input, output) => void writer.node('Sigmoid', name, [input], output),
  // PyTorch's; the default slope of ONNX's is 0.2.
  hardSigmoid: (writer, name, input, output) =>
    void writer.node('HardSigmoid', name, [input], output, [float('alpha', 1 / 6), float('beta', 0.5)]),
}

/** Runs `write` with the place where its result goes, and applies the step's activation to that. */
function writeActivated(step: InferenceStep<StepKind>, writer: OnnxWriter, write: (output: string) => void): void {
  const output = writer.tensor(step.id)
  if (step.activation === 'none') {
    write(output)
    return
  }
  write(`${output}/before`)
  nodes[step.activation](writer, `${step.id}/${step.activation}`, `${output}/before`, output)
}

const activation: OnnxRule<'activation'> = {
  write(step, writer) {
    const [input = ''] = inputNames(step, writer)
    nodes[step.layer.activation](writer, step.id, input, writer.tensor(step.id))
  },
}

export { activation, writeActivated }
