import type { GraphRule } from './rule.ts'

/** The channels of each pixel as a matrix of groups, transposed. */
const channelShuffle: GraphRule<'channelShuffle'> = {
  write(step, writer) {
    const { layer, shape } = step
    const [height, width, channels] = shape
    const { groups } = layer
    const name = writer.nameOf(step.id)
    const settings = { Tshape: { type: 'DT_INT32' } }
    const runs = writer.constant(`${name}/runs_shape`, [4], Int32Array.of(-1, height * width, groups, channels / groups))
    const split = writer.node('Reshape', `${name}/runs`, [...writer.images(step), runs], settings)
    const order = writer.constant(`${name}/order`, [4], Int32Array.of(0, 1, 3, 2))
    const turned = writer.node('Transpose', `${name}/turned`, [split, order], { Tperm: { type: 'DT_INT32' } })
    const image = writer.constant(`${name}/image_shape`, [4], Int32Array.of(-1, height, width, channels))
    writer.node('Reshape', name, [turned, image], settings)
  },
}

export { channelShuffle }
