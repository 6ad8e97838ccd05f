"""Node and Pod status as the kubelet reports them."""
