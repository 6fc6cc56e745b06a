import type { TfjsRule } from './rule.ts'

/** The softmax is over the last axis there, and parts of a tensor are taken by cropping an image. */
const splitAttention: TfjsRule<'splitAttention'> = {
  write(step, writer) {
    const inputs = writer.images(step)
    const splits = inputs.length / 2
    const channels = step.shape[2]
    const name = writer.nameOf(step.id)
    const stacked = writer.layer('Concatenate', `${name}_stack`, inputs.slice(splits), { axis: -1 })
    const rows = writer.layer('Reshape', `${name}_rows`, [stacked], { target_shape: [splits, channels] })
    const columns = writer.layer('Permute', `${name}_columns`, [rows], { dims: [2, 1] })
    const shares = writer.layer('Softmax', `${name}_softmax`, [columns], { axis: -1 })
    const turned = writer.layer('Permute', `${name}_shares`, [shares], { dims: [2, 1] })
    const image = writer.layer('Reshape', `${name}_image`, [turned], { target_shape: [splits, 1, channels] })
    const products = inputs.slice(0, splits).map((input, split) => {
      const cropping = [
        [split, splits - 1 - split],
        [0, 0],
      ]
      const own = writer.layer('Cropping2D', `${name}_share${split + 1}`, [image], { cropping, data_format: 'channels_last' })
      return writer.layer('Multiply', `${name}_product${split + 1}`, [input, own], {})
    })
    writer.layer('Add', name, products, {})
  },
}

export { splitAttention }
