import type { InferenceStep, StepKind } from '../../../engine/executor/index.ts'
import type { Activation } from '../../../search-space/layers/activation.ts'
import type { GraphRule } from './rule.ts'
import type { GraphWriter } from './writer.ts'

/** relu6(x + 3) / 6 */
function writeHardSigmoid(writer: GraphWriter, name: string, input: string): string {
  const three = writer.constant('constants/three', [], Float32Array.of(3))
  const sixth = writer.constant('constants/sixth', [], Float32Array.of(1 / 6))
  const raised = writer.node('AddV2', `${name}/raised`, [input, three])
  return writer.node('Mul', name, [writer.node('Relu6', `${name}/clipped`, [raised]), sixth])
}

/** Writes the function of `input`; the last node is called `name`. */
const forms: { readonly [Name in Activation]: (writer: GraphWriter, name: string, input: string) => void } = {
  relu: (writer, name, input) => void writer.node('Relu', name, [input]),
  relu6: (writer, name, input) => void writer.node('Relu6', name, [input]),
  sigmoid: (writer, name, input) => void writer.node('Sigmoid', name, [input]),
  swish: (writer, name, input) => void writer.node('Mul', name, [input, writer.node('Sigmoid', `${name}/gate`, [input])]),
  hardSigmoid: (writer, name, input) => void writeHardSigmoid(writer, name, input),
  hardSwish: (writer, name, input) => void writer.node('Mul', name, [input, writeHardSigmoid(writer, `${name}/gate`, input)]),
}

/** What a convolution's kernel applies to its own result, by the name that fused operations have for it. */
const fusedNames: Readonly<Partial<Record<Activation, string>>> = { relu: 'Relu', relu6: 'Relu6' }

/** Runs `write` with the name of its node, and puts the step's activation behind that. */
function writeActivated(step: InferenceStep<StepKind>, writer: GraphWriter, write: (name: string) => void): void {
  const name = writer.nameOf(step.id)
  if (step.activation === 'none') {
    write(name)
    return
  }
  write(`${name}/before`)
  forms[step.activation](writer, name, `${name}/before`)
}

const activation: GraphRule<'activation'> = {
  write(step, writer) {
    const [input = ''] = writer.images(step)
    forms[step.layer.activation](writer, writer.nameOf(step.id), input)
  },
}

export { activation, fusedNames, writeActivated }
