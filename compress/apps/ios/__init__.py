"""The model for iPhones: Core ML packages, checked by running their programs here, and a SwiftUI sample."""
