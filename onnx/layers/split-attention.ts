import { int } from '../writer.ts'
import { inputNames, type OnnxRule } from './rule.ts'

/** Logits one above the other, [batch, r, channels, 1], so that the softmax is over an axis of its own. */
const SPLIT_AXIS = 1

const splitAttention: OnnxRule<'splitAttention'> = {
  write(step, writer) {
    const { id, shape } = step
    const names = inputNames(step, writer)
    const splits = names.length / 2
    const channels = shape[2]
    const stacked = writer.node('Concat', `${id}/stack`, names.slice(splits), `${id}/stacked`, [int('axis', SPLIT_AXIS)])
    const reshape = (name: string, input: string, dims: readonly number[]) =>
      writer.node('Reshape', `${id}/${name}`, [input, writer.int64s(`${id}/${name}-shape`, dims)], `${id}/${name}`)
    const rows = reshape('rows', stacked, [0, splits, channels, 1])
    const shares = writer.node('Softmax', `${id}/softmax`, [rows], `${id}/shares`, [int('axis', SPLIT_AXIS)])
    let sum = ''
    for (const [split, image] of names.slice(0, splits).entries()) {
      const isLast = split === splits - 1
      const own = writer.node(
        'Gather',
        `${id}/share${split + 1}`,
        [shares, writer.int64s(`${id}/index${split + 1}`, [split])],
        `${id}/row${split + 1}`,
        [int('axis', SPLIT_AXIS)],
      )
      const share = reshape(`scale${split + 1}`, own, [0, channels, 1, 1])
      const product = writer.node('Mul', `${id}/product${split + 1}`, [image, share], `${id}/product${split + 1}`)
      if (split === 0) sum = product
      else sum = writer.node('Add', `${id}/sum${split + 1}`, [sum, product], isLast ? writer.tensor(id) : `${id}/sum${split + 1}`)
    }
  },
}

export { splitAttention }
