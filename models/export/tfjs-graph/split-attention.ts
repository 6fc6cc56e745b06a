import type { GraphRule } from './rule.ts'
import { attribute } from './writer.ts'

/** Softmax there is over the last axis alone, so shares are a_i = 1 / Σ_j exp(z_j − z_i): where a power overflows, its share is 0. */
const splitAttention: GraphRule<'splitAttention'> = {
  write(step, writer) {
    const inputs = writer.images(step)
    const splits = inputs.length / 2
    const [images, logits] = [inputs.slice(0, splits), inputs.slice(splits)]
    const name = writer.nameOf(step.id)
    const sum = (of: string, terms: readonly string[]) => writer.node('AddN', of, terms, { N: attribute.integer(terms.length) })
    const products = images.map((image, i) => {
      const powers = logits.map((logit, j) => {
        const place = `${name}/share${i + 1}/${j + 1}`
        return writer.node('Exp', `${place}/power`, [writer.node('Sub', `${place}/above`, [logit, logits[i] as string])])
      })
      const share = writer.node('Reciprocal', `${name}/share${i + 1}`, [sum(`${name}/share${i + 1}/sum`, powers)])
      return writer.node('Mul', `${name}/product${i + 1}`, [image, share])
    })
    sum(name, products)
  },
}

export { splitAttention }
