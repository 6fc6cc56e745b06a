import type { InferenceStep, StepKind } from '../../../engine/executor/index.ts'
import type { Activation } from '../../../search-space/layers/activation.ts'
import { type Refusal, refuses, requireRule } from '../../../search-space/layers/refusal.ts'
import { FORMAT, type TfjsRule } from './rule.ts'
import type { TfjsWriter } from './writer.ts'

type KerasForm = { readonly className: string; readonly config: Readonly<Record<string, unknown>> }

const forms: { readonly [Name in Activation]: KerasForm | Refusal } = {
  relu: { className: 'ReLU', config: {} },
  relu6: { className: 'ReLU', config: { max_value: 6 } },
  swish: { className: 'Activation', config: { activation: 'swish' } },
  hardSwish: refuses('it has no hard swish'),
  sigmoid: { className: 'Activation', config: { activation: 'sigmoid' } },
  hardSigmoid: refuses('its hard sigmoid is max(0, min(1, 0.2 x + 0.5)), not relu6(x + 3) / 6'),
}

/** Runs `write` with the name of its layer, and puts the step's activation behind that. */
function writeActivated(step: InferenceStep<StepKind>, writer: TfjsWriter, write: (name: string) => void): void {
  const name = writer.nameOf(step.id)
  if (step.activation === 'none') {
    write(name)
    return
  }
  write(`${name}_before`)
  const { className, config } = requireRule(step, forms[step.activation], FORMAT)
  writer.layer(className, name, [`${name}_before`], config)
}

const activation: TfjsRule<'activation'> = {
  write(step, writer) {
    const { className, config } = requireRule(step, forms[step.layer.activation], FORMAT)
    writer.layer(className, writer.nameOf(step.id), writer.images(step), config)
  },
}

export { activation, writeActivated }
