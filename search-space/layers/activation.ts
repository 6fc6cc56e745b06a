import { defineLayer, type LayerBase, onlyShape } from './layer.ts'

/**
 * Functions of single values, as PyTorch names and defines them:
 *
 *     relu         max(0, x)                    sigmoid      σ(x) = 1 / (1 + exp(-x))
 *     relu6        min(6, max(0, x))            hardSigmoid  relu6(x + 3) / 6
 *     swish        x σ(x)                       hardSwish    x relu6(x + 3) / 6
 */
const activations = ['relu', 'relu6', 'swish', 'hardSwish', 'sigmoid', 'hardSigmoid'] as const
type Activation = (typeof activations)[number]

type ActivationLayer = LayerBase<'activation'> & { readonly input: string; readonly activation: Activation }

const activation = defineLayer<ActivationLayer>()({
  shape: onlyShape,
  macs: () => 0,
  weights: () => ({}),
  examples: () =>
    activations.map((name) => ({
      name,
      inputs: [[4, 3, 5]],
      layer: { kind: 'activation', id: 'layer', input: 'x0', activation: name, shape: [4, 3, 5] },
    })),
})

export { activation, type Activation, type ActivationLayer, activations }
