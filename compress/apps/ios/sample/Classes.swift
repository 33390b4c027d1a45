/// A class of the model. The order is that of the indices in the class map.
struct SegmentationClass {
    let name: String
    let red: UInt8
    let green: UInt8
    let blue: UInt8
}

let classes = [
@CLASSES@
]
